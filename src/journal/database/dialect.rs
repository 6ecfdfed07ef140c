//! SQL by dialect: the few statements, and parts of statements, that each database spells in its own way.

/// The SQL that a database understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::journal) enum Dialect {
    Sqlite,
    Postgres,
}

/// One statement, or part of one, in both dialects.
#[derive(Debug, Clone, Copy)]
pub(in crate::journal) struct SqlByDialect {
    pub(in crate::journal) sqlite: &'static str,
    pub(in crate::journal) postgres: &'static str,
}

impl Dialect {
    /// Returns the most values of one statement: what grows with a batch is passed as one JSON value, or
    /// in statements of a few rows.
    pub(in crate::journal) const fn values_max(self) -> usize {
        match self {
            // For each value of a statement sqlx's driver walks over the names of all of them, so that a
            // statement of 20,000 values takes minutes.
            Self::Sqlite => 256,
            // Far below the 65,535 that a message holds, and enough that round trips do not count.
            Self::Postgres => 2_500,
        }
    }

    /// Returns the spelling that this database understands.
    pub(in crate::journal) const fn of(self, sql: SqlByDialect) -> &'static str {
        match self {
            Self::Sqlite => sql.sqlite,
            Self::Postgres => sql.postgres,
        }
    }
}
