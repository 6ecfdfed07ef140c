//! Has a job done: by the service that runs, which alone may use its journal, else in this process. Each
//! console has its own end, and one that fails keeps no other from its.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    io::{self, BufRead as _, IsTerminal as _},
    net::SocketAddr,
    time::Duration,
};

use anyhow::{Context as _, anyhow, bail};
use futures_util::future::join_all;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use super::{failure::Failure, logging, output, progress::Display, runtime};
use crate::{
    clock::Clock,
    config::{ConsoleSettings, Settings},
    outbound,
    service::{Service, ServiceError},
    sweep::{Job, JobState, Progress},
};

/// Longest wait for one answer of the management address.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// Between two questions how far a job is.
const ASK_AGAIN: Duration = Duration::from_millis(300);

/// The answer of the management address.
#[derive(Debug, Deserialize)]
struct Answer {
    console: String,
    progress: Progress,
}

/// A service that runs, by its management address.
struct Running {
    http: reqwest::Client,
    /// The address at which its jobs are asked for.
    address: String,
    /// The console that is meant, as a query; empty where there is one.
    which: String,
}

/// The end of a job for each console, by their names.
pub(super) type Ended<T = Progress> = Vec<(String, anyhow::Result<T>)>;

/// Has `job` done for each of `consoles` and returns how it ended; an early end is a failure.
pub(super) fn run(
    mut settings: Settings,
    consoles: &[ConsoleSettings],
    job: Job,
) -> Result<Ended, Failure> {
    "warn".clone_into(&mut settings.connector.log_level);
    logging::start(&settings.connector)?;
    let done: anyhow::Result<_> = runtime::run(async |stop| {
        let mut ended = Vec::with_capacity(consoles.len());
        for console in consoles {
            let done = match Running::find(&settings, console).await {
                Ok(None) => return Box::pin(here(settings, consoles, job, stop)).await,
                Ok(Some(service)) => service.follow(&job, &stop).await,
                Err(failure) => Err(failure),
            };
            ended.push((console.name.clone(), done));
            if stop.is_cancelled() {
                break;
            }
        }
        Ok(ended)
    })?;
    Ok(done?)
}

/// Does it in this process, as a single run does its sweep.
async fn here(
    mut settings: Settings,
    consoles: &[ConsoleSettings],
    job: Job,
    stop: CancellationToken,
) -> anyhow::Result<Ended> {
    settings.connector.run_and_terminate = true;
    let service = Service::start(settings, Clock::system(), Vec::new()).await?;
    let mut boards = Vec::with_capacity(consoles.len());
    for console in consoles {
        let board = service.jobs_of(&console.name).context("the service lacks a console")?;
        board.submit(job.clone()).map_err(|_busy| anyhow!("another job is under way"))?;
        boards.push((console.name.clone(), board));
    }
    let display = RefCell::new(Display::new());
    let showing = join_all(boards.iter().map(async |(_name, board)| {
        let mut steps = board.watch();
        while steps.changed().await.is_ok() {
            display.borrow_mut().show(&steps.borrow_and_update());
        }
    }));
    let ended = tokio::select! {
        ended = service.run(stop.clone()) => ended,
        _shown = showing => Ok(()),
    };
    display.borrow_mut().clear();
    let mut failed = match ended {
        Ok(()) => BTreeMap::new(),
        Err(ServiceError::Consoles(failed)) => failed.into_iter().collect(),
        Err(failure) => return Err(failure.into()),
    };
    let done: Vec<(String, Progress)> =
        boards.into_iter().map(|(name, board)| (name, board.current())).collect();
    if stop.is_cancelled() && done.iter().any(|(_name, it)| it.state != JobState::Done) {
        bail!("interrupted; the same command again goes on from here");
    }
    let ended = done.into_iter().map(|(name, progress)| match failed.remove(&name) {
        Some(failure) => (name, Err(failure.into())),
        None => (name, Ok(progress)),
    });
    Ok(ended.collect())
}

/// Asks whoever sits at the terminal; where there is none, nothing is cancelled.
async fn is_to_be_cancelled() -> anyhow::Result<bool> {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Ok(false);
    }
    output::ask("The service goes on with it. Cancel it? Type yes, or Ctrl-C again to leave it: ");
    let read = || {
        let mut answer = String::new();
        io::stdin().lock().read_line(&mut answer).map(|_bytes| answer)
    };
    let answer = tokio::task::spawn_blocking(read).await.context("nobody could be asked")?;
    Ok(answer.context("cannot read the answer")?.trim().eq_ignore_ascii_case("yes"))
}

impl Running {
    /// The service at the management address of `settings`, if one answers there, for this console.
    async fn find(settings: &Settings, console: &ConsoleSettings) -> anyhow::Result<Option<Self>> {
        let mut address: SocketAddr = settings.management.listen;
        if address.port() == 0 {
            return Ok(None);
        }
        if address.ip().is_unspecified() {
            let loopback = match address {
                SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
                SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
            };
            address.set_ip(loopback);
        }
        let http = outbound::direct_client(ANSWER_MAX)
            .context("the client for the management address cannot be built")?;
        let which = if settings.has_several_consoles() {
            format!("?console={}", console.name)
        } else {
            String::new()
        };
        let service = Self { http, address: format!("http://{address}/jobs"), which };
        let answer = match service.http.get(service.jobs()).send().await {
            Err(error) if error.is_connect() => return Ok(None),
            Ok(answer) if answer.status() == reqwest::StatusCode::NOT_FOUND => bail!(
                "the service at {} knows no console {}; restart it with this configuration",
                service.address,
                console.name
            ),
            answer => service.read(answer).await?,
        };
        if answer.console != console.harfanglab.url.as_str() {
            bail!(
                "the service at {} is for the console {}, not for {} (HARFANGLAB_INCIDENTS_URL); \
                 set HARFANGLAB_INCIDENTS_MANAGEMENT_LISTEN to the address of the one that is meant",
                service.address,
                answer.console,
                console.harfanglab.url
            );
        }
        Ok(Some(service))
    }

    fn jobs(&self) -> String {
        format!("{}{}", self.address, self.which)
    }

    /// Asks for the job and follows it to its end; `stop` ends the following, and the job itself only
    /// if whoever stops says so.
    async fn follow(&self, job: &Job, stop: &CancellationToken) -> anyhow::Result<Progress> {
        let answer = self.http.post(self.jobs()).json(job).send().await;
        if let Ok(answer) = &answer
            && answer.status() == reqwest::StatusCode::CONFLICT
        {
            bail!("the service has another job under way; try again when it is done");
        }
        if let Ok(answer) = &answer
            && answer.status() == reqwest::StatusCode::MISDIRECTED_REQUEST
        {
            bail!(
                "another replica leads and does the sweeps; run this where the one runs whose \
                 /readyz says \"role\": \"leads\""
            );
        }
        let mut progress = self.read(answer).await?.progress;
        let number = progress.number;
        let mut display = Display::new();
        while progress.state == JobState::Running {
            display.show(&progress);
            if stop.run_until_cancelled(tokio::time::sleep(ASK_AGAIN)).await.is_none() {
                display.clear();
                bail!(self.leave(number).await?);
            }
            progress = self.read(self.http.get(self.jobs()).send().await).await?.progress;
            if progress.number != number {
                bail!(
                    "the service has taken up another job meanwhile; its log says how this ended"
                );
            }
        }
        display.clear();
        if progress.state == JobState::Done {
            return Ok(progress);
        }
        if progress.state == JobState::Interrupted {
            bail!("{}", progress.words);
        }
        Err(anyhow!(
            "it ended early: {}; the same command again goes on from there",
            progress.words
        ))
    }

    /// Nobody watches job `number` any more: asks, where somebody can be asked, whether it is to end.
    /// Answers what holds then.
    async fn leave(&self, number: u64) -> anyhow::Result<String> {
        let job = format!("{}/{number}{}", self.address, self.which);
        if !is_to_be_cancelled().await? {
            return Ok(format!(
                "no longer watching; the service goes on with it. To cancel it: curl -X DELETE '{job}'"
            ));
        }
        let answer = self.http.delete(&job).send().await;
        if answer.as_ref().is_ok_and(|answer| answer.status() == reqwest::StatusCode::NOT_FOUND) {
            return Ok("it had ended already".to_owned());
        }
        self.read(answer).await?;
        Ok("cancelled: it ends at its next page, and what it has read is imported".to_owned())
    }

    async fn read(&self, answer: reqwest::Result<reqwest::Response>) -> anyhow::Result<Answer> {
        let not_ours = || {
            format!(
                "{} did not answer as the service does; what else listens at \
                 HARFANGLAB_INCIDENTS_MANAGEMENT_LISTEN?",
                self.address
            )
        };
        let answer = answer.and_then(reqwest::Response::error_for_status).with_context(not_ours)?;
        answer.json().await.with_context(not_ours)
    }
}
