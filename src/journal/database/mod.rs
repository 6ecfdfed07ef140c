//! The parts that both databases share: statements, rows, connections, changes and locks.
//!
//! SQLite and PostgreSQL understand nearly the same statements, so each is written once, with its
//! values as `$1`. Where they need two spellings, those stand side by side as SQL by dialect. sqlx has a
//! driver for any database, but it knows neither numbered values in both nor flags in SQLite, and turns
//! every row into one of its own first; two copies of every statement would have drifted apart.
//!
//! Does not live here: what only one database has (`sqlite`, `postgres`), the statements (`sql`).

pub(super) mod connection;
pub(super) mod dialect;
pub(super) mod locks;
#[cfg(test)]
pub(super) mod noted;
pub(super) mod row;
pub(super) mod session;
pub(super) mod statement;
