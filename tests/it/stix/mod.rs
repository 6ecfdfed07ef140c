//! Tests of STIX objects and their ids.

mod ids;
