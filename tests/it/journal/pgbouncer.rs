//! A real `PgBouncer` (Debian's package) before a database of its own on the shared PostgreSQL.

use std::{os::unix::fs::PermissionsExt as _, path::Path, process::Command};

use rustix::process::Signal;
use sqlx::{Connection as _, PgConnection};
use tempfile::TempDir;

use crate::support::{
    broker::fresh_connector_id,
    programs::{Server, free_port},
    stores::server,
    waiting::until,
};

const CONFIG: &str = "pgbouncer.ini";

/// A pooler that is stopped when the test ends.
pub(crate) struct Pooler {
    /// The database behind it.
    pub(crate) url: String,
    server: Server,
    folder: TempDir,
}

impl Pooler {
    /// One that hands out sessions as `mode` says, `sessions` at most; `None` where `PgBouncer` is not
    /// installed.
    pub(crate) async fn start(mode: &str, sessions: u32) -> Option<Self> {
        let database = format!("test_{}", fresh_connector_id().replace('-', "_"));
        run(&format!("CREATE DATABASE {database}")).await;
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
        let config = folder.path().join(CONFIG);
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
        Some(Self { url, server: pooler, folder })
    }

    /// Drops the database behind it.
    pub(crate) async fn drop_database(&self) {
        let (_server, database) = self.url.rsplit_once('/').unwrap();
        run(&format!("DROP DATABASE {database}")).await;
    }

    /// Hands out sessions as `mode` says from now on, as after a `RELOAD`.
    pub(crate) fn reload(&self, mode: &str) {
        let config = self.folder.path().join(CONFIG);
        let whole = std::fs::read_to_string(&config).unwrap();
        let lines = whole.lines().map(|line| match line.split_once(" = ") {
            Some(("pool_mode", _before)) => format!("pool_mode = {mode}\n"),
            _ => format!("{line}\n"),
        });
        std::fs::write(&config, lines.collect::<String>()).unwrap();
        self.server.signal(Signal::HUP);
    }
}

/// Runs a statement on the shared server.
async fn run(statement: &str) {
    let mut connection = PgConnection::connect(&server()).await.unwrap();
    let statement = sqlx::AssertSqlSafe(statement.to_owned());
    sqlx::query(statement).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

fn program() -> &'static str {
    const DEBIANS: &str = "/usr/sbin/pgbouncer";
    if Path::new(DEBIANS).exists() { DEBIANS } else { "pgbouncer" }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
