//! What tests share: fakes of the remote HTTP services, a broker, a started service, reference data.

pub(crate) mod app;
pub(crate) mod authority;
pub(crate) mod broker;
pub(crate) mod opencti;
pub(crate) mod private_broker;
pub(crate) mod relay;
pub(crate) mod s3;
pub(crate) mod shared;
pub(crate) mod stage;
