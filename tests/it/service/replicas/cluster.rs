//! Three real binaries on a PostgreSQL of the test's own, nginx in front, and who of them leads.

use std::{
    net::TcpListener,
    process::Command,
    time::{Duration, Instant},
};

use harfanglab_incidents::journal::{Journal, PostgresDatabase};
use reqwest::Client;
use serde_json::Value;
use tokio::{
    sync::watch,
    task::{JoinHandle, block_in_place},
};

use super::claim_audit;
use crate::support::{
    app::App,
    configuration::write_private,
    private_postgres::PrivatePostgres,
    programs::Server,
    stage::{Stage, http},
    stores::{CONNECTIONS, fresh_schema, open_postgres},
    waiting::until,
};

pub(super) const REPLICAS: usize = 3;

/// Everything of the test.
pub(super) struct World {
    pub(super) stage: Stage,
    pub(super) database: PrivatePostgres,
    pub(super) journal_url: String,
    pub(super) replicas: Vec<App>,
    /// Ports of each replica: deliveries and management.
    ports: Vec<(u16, u16)>,
    _nginx: Server,
    /// The address to push to.
    pub(super) url: String,
    endpoint: watch::Sender<Option<String>>,
    started_at: Instant,
}

impl World {
    /// All of it started; `None` where nginx is not installed.
    pub(super) async fn new() -> Option<Self> {
        let database = block_in_place(PrivatePostgres::start);
        let journal_url = fresh_schema(database.url()).await;
        let mut stage = Stage::with_webhook().await;
        for (name, value) in [
            ("JOURNAL_URL", journal_url.as_str()),
            // What a push brought and was lost must not be repaired by the sweep.
            ("IMPORT_START_DATE", "2999-01-01"),
            ("RETRY_MAX", "PT2S"),
            ("API_RATE", "1000"),
            // Of a replica that died the others take over soon.
            ("LEASE", "PT45S"),
        ] {
            stage.home.set(&format!("HARFANGLAB_INCIDENTS_{name}"), value);
        }
        stage.console.seed(harfanglab_incidents::clock::Clock::system().now());
        let console = stage.home.get("HARFANGLAB_INCIDENTS_URL");
        open_postgres(&journal_url, CONNECTIONS, &console).await;
        claim_audit::begin(&journal_url).await;
        let ports: Vec<_> = (0..REPLICAS).map(|_| (lasting_port(), lasting_port())).collect();
        let (nginx, url) = nginx(&stage, &ports).await?;
        let endpoint = watch::Sender::new(Some(url.clone()));
        let mut world = Self {
            stage,
            database,
            journal_url,
            replicas: Vec::new(),
            ports,
            _nginx: nginx,
            url,
            endpoint,
            started_at: Instant::now(),
        };
        for number in 0..REPLICAS {
            world.start(number).await;
        }
        let _leads = world.leader().await;
        Some(world)
    }

    pub(super) fn endpoint(&self) -> watch::Receiver<Option<String>> {
        self.endpoint.subscribe()
    }

    /// Says when this happens, for who reads the figures.
    pub(super) fn tell(&self, what: &str) {
        eprintln!("{:>5.0} s: {what}", self.started_at.elapsed().as_secs_f64());
    }

    /// Starts a replica, where it was before.
    pub(super) async fn start(&mut self, number: usize) {
        let (deliveries, management) = self.ports[number];
        let home = &mut self.stage.home;
        home.set("HARFANGLAB_INCIDENTS_LISTEN", &format!("127.0.0.1:{deliveries}"));
        home.set("HARFANGLAB_INCIDENTS_MANAGEMENT_LISTEN", &format!("127.0.0.1:{management}"));
        let mut app = home.start(&["serve"]);
        let _listens = app.webhook().await;
        if number < self.replicas.len() {
            self.replicas[number] = app;
        } else {
            self.replicas.push(app);
        }
    }

    /// Returns which replica leads, once one does.
    pub(super) async fn leader(&self) -> usize {
        let http = http();
        until("a replica leads", async || {
            let roles = roles_now(&http, &self.ports).await;
            roles.iter().position(|role| role.as_deref() == Some("leads"))
        })
        .await
    }

    /// Waits until a replica says that nothing is accepted.
    pub(super) async fn one_is_unready(&self) {
        let url = format!("http://127.0.0.1:{}/readyz", self.ports[0].1);
        until("the database is missed", async || {
            let answer = http().get(&url).send().await.ok()?;
            (answer.status().as_u16() == 503).then_some(())
        })
        .await;
    }

    /// Waits until everything has found its end.
    pub(super) async fn is_drained(&self) {
        let console = self.stage.home.get("HARFANGLAB_INCIDENTS_URL");
        let database = PostgresDatabase::open_beside(&self.journal_url, None).await.unwrap();
        let journal = Journal::new(database, &console);
        until("everything has found its end", async || {
            journal.is_drained().await.unwrap().then_some(())
        })
        .await;
        assert_eq!(journal.counts().await.unwrap().dead, 0);
    }

    /// Stops all replicas in order.
    pub(super) async fn stop(&mut self) {
        for replica in &mut self.replicas {
            assert!(replica.terminate().await.success(), "{}", replica.log());
        }
    }

    /// Looks all the time who leads.
    pub(super) fn watch_who_leads(&self) -> Watch {
        let ports = self.ports.clone();
        let (stop, mut stopped) = watch::channel(false);
        let leads = |role: Option<String>| role.as_deref() == Some("leads");
        let watching = tokio::spawn(async move {
            let mut seen = Leaders { looks: 0, most_at_once: 0, changes: 0 };
            let (mut last, http) = (None, http());
            let mut turns = tokio::time::interval(Duration::from_millis(500));
            while !*stopped.borrow_and_update() {
                turns.tick().await;
                let roles = roles_now(&http, &ports).await;
                let mut leading: Vec<bool> = roles.into_iter().map(leads).collect();
                seen.looks += 1;
                let leader = leading.iter().position(|leads| *leads);
                if leading.iter().filter(|leads| **leads).count() > 1 {
                    // The answers of one look are not of one moment: the lead may have passed on between them.
                    let again = roles_now(&http, &ports).await;
                    leading.iter_mut().zip(again).for_each(|(led, role)| *led &= leads(role));
                }
                let at_once = leading.iter().filter(|leads| **leads).count();
                let at_once = at_once.max(usize::from(leader.is_some()));
                seen.most_at_once = seen.most_at_once.max(at_once);
                if leader.is_some() && leader != last {
                    (seen.changes, last) = (seen.changes + 1, leader);
                }
            }
            seen
        });
        Watch { stop, watching }
    }
}

/// The replicas that were seen to lead.
#[derive(Debug)]
pub(super) struct Leaders {
    looks: usize,
    pub(super) most_at_once: usize,
    changes: usize,
}

/// A look that goes on.
pub(super) struct Watch {
    stop: watch::Sender<bool>,
    watching: JoinHandle<Leaders>,
}

impl Watch {
    pub(super) async fn finish(self) -> Leaders {
        self.stop.send_replace(true);
        self.watching.await.unwrap()
    }
}

/// Returns what each replica says that it is, asked at the same moment; `None`: it does not answer.
async fn roles_now(http: &Client, ports: &[(u16, u16)]) -> Vec<Option<String>> {
    let asked = ports.iter().map(|(_, management)| {
        let request = http.get(format!("http://127.0.0.1:{management}/readyz"));
        async move {
            let answer: Value = request.send().await.ok()?.json().await.ok()?;
            answer["role"].as_str().map(str::to_owned)
        }
    });
    futures_util::future::join_all(asked).await
}

/// A free port below those that outgoing connections take, so that it is free again whenever its
/// replica is started anew.
fn lasting_port() -> u16 {
    let is_free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    std::iter::repeat_with(|| fastrand::u16(15_000..31_000)).find(is_free).unwrap()
}

/// nginx in front of all replicas, by the lines that `deploy/` gives for that.
async fn nginx(stage: &Stage, ports: &[(u16, u16)]) -> Option<(Server, String)> {
    let folder = stage.home.path();
    let port = lasting_port();
    let servers: Vec<String> =
        ports.iter().map(|(port, _)| format!("server 127.0.0.1:{port};\n")).collect();
    let servers = servers.concat();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {}/{kind};\n", folder.display()))
        .concat();
    let whole = format!(
        "daemon off; master_process off; pid {0}/nginx.pid; error_log stderr;\nevents {{}}\n\
         http {{\naccess_log off;\n{temporary}upstream replicas {{\n{servers}}}\n\
         server {{\nlisten 127.0.0.1:{port};\nlocation / {{\n\
         proxy_pass http://replicas;\nproxy_connect_timeout 2s;\n\
         proxy_next_upstream error timeout http_503 non_idempotent;\n}}\n}}\n}}\n",
        folder.display()
    );
    let config = write_private(folder, "nginx.conf", &whole);
    let program = if cfg!(target_os = "linux") { "/usr/sbin/nginx" } else { "nginx" };
    let mut nginx =
        Server::start(Command::new(program).arg("-p").arg(folder).arg("-c").arg(&config))?;
    until("nginx listens", async || {
        assert_eq!(nginx.ended(), None, "nginx ended; its configuration:\n{whole}");
        tokio::net::TcpStream::connect(("127.0.0.1", port)).await.ok()
    })
    .await;
    Some((nginx, format!("http://127.0.0.1:{port}/webhooks/harfanglab")))
}
