//! Tests of the whole service: end to end, killed, restarted, with replicas and several consoles.

mod consoles;
mod crash;
mod end_to_end;
mod fault_table;
mod machine_limits;
mod replicas;
mod restart;
mod secret_search;
mod soak;
