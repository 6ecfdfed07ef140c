//! Nothing leaves under a lease that has ended: every sink asks immediately before the first message of
//! each event, and of two replicas the one that stood still never sends an older version after a newer
//! one.

mod replicas;
mod sinks;
mod stopped_process;
