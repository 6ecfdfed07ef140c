//! A real `PgBouncer` (Debian's package) before a database of its own on the shared PostgreSQL.

use std::{os::unix::fs::PermissionsExt as _, path::Path, process::Command};

use sqlx::{Connection as _, PgConnection};
use tempfile::TempDir;

use crate::{
    deployment::prometheus::{Server, free_port, until},
    support::{broker::fresh_connector_id, stores::server},
};

/// A pooler that is stopped when the test ends.
pub(crate) struct Pooler {
    /// The database behind it.
    pub(crate) url: String,
    _server: Server,
    _folder: TempDir,
}

impl Pooler {
    /// One that hands out sessions as `mode` says, `sessions` at most; `None` where `PgBouncer` is not
    /// installed.
    pub(crate) async fn start(mode: &str, sessions: u32) -> Option<Self> {
        let database = format!("test_{}", fresh_connector_id().replace('-', "_"));
        let mut connection = PgConnection::connect(&server()).await.unwrap();
        let making = sqlx::AssertSqlSafe(format!("CREATE DATABASE {database}"));
        sqlx::query(making).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        let behind = url::Url::parse(&server()).unwrap();
        let (folder, port) = (TempDir::new().unwrap(), free_port());
        let whole = format!(
            "[databases]\n{database} = host={} port={} user={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
             listen_port = {port}\nunix_socket_dir =\nauth_type = any\npool_mode = {mode}\n\
             default_pool_size = {sessions}\n",
            behind.host_str().unwrap(),
            behind.port().unwrap(),
            behind.username(),
        );
        let config = folder.path().join("pgbouncer.ini");
        std::fs::write(&config, whole).unwrap();
        let mut command = Command::new(program());
        // It does not run as root, and has to read this as whoever it runs as.
        let readable = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(folder.path(), readable).unwrap();
        if is_root() {
            command.args(["-u", "nobody"]);
        }
        let mut pooler = Server::start(command.arg(&config))?;
        until("PgBouncer listens", async || {
            assert_eq!(pooler.ended(), None, "PgBouncer ended");
            tokio::net::TcpStream::connect(("127.0.0.1", port)).await.ok()
        })
        .await;
        let url = format!("postgres://{}@127.0.0.1:{port}/{database}", behind.username());
        Some(Self { url, _server: pooler, _folder: folder })
    }
}

fn program() -> &'static str {
    const DEBIANS: &str = "/usr/sbin/pgbouncer";
    if Path::new(DEBIANS).exists() { DEBIANS } else { "pgbouncer" }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
