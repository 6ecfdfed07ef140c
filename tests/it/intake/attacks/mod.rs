//! Attacks: on the proof of a delivery, on what stands between sender and service, on its time and
//! memory, on its log and its metrics. What is merely malformed is in `hostile_posts`.

mod forged_proofs;
mod hostile_texts;
mod traces;
