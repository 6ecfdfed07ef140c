//! The client of the console's API against the simulated console: pages, faults, who asks.
//! Every console here is a server of its own.

use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta};
use futures_util::future::join_all;
use harfanglab_incidents::{
    demo::{Collection, DemoAlert, Fault, RequestKind},
    harfanglab::{Console, ConsoleError, Listing, PAGE_LIMIT, RESULT_WINDOW},
};
use secrecy::{ExposeSecret, SecretString};

use crate::support::demo_console::{ALERTS, client, client_with, fill, noon, started};

const IOC_RULES: RequestKind = RequestKind::List(Collection::IocRules);

// ---- pages

#[tokio::test]
async fn every_alert_of_a_span_is_read_once_and_oldest_first() {
    let console = started();
    let alerts = fill(&console, 250, TimeDelta::milliseconds(400));
    let client = client(&console);

    let (mut seen, mut has_next) = (Vec::new(), true);
    while has_next {
        let offset = u32::try_from(seen.len()).unwrap();
        let page = client.page(Listing::Alerts, noon(), None, offset, PAGE_LIMIT).await.unwrap();
        assert_eq!(page.count, Some(250));
        has_next = page.has_next;
        seen.extend(page.items);
    }
    let ids: Vec<_> =
        seen.iter().map(|item| item.value()["alert_unique_id"].as_str().unwrap()).collect();
    assert_eq!(ids, alerts.iter().map(DemoAlert::unique_id).collect::<Vec<_>>());
    assert_eq!(console.requests().of(ALERTS), 3);
}

#[tokio::test]
async fn a_span_holds_its_whole_first_and_last_second() {
    let console = started();
    fill(&console, 40, TimeDelta::milliseconds(250));
    let second = |n| noon() + TimeDelta::milliseconds(n);

    let page = client(&console)
        .page(Listing::Alerts, second(2600), Some(second(4200)), 0, 100)
        .await
        .unwrap();
    let times: Vec<_> = page
        .items
        .iter()
        .map(|item| {
            DateTime::parse_from_rfc3339(item.value()["alert_time"].as_str().unwrap()).unwrap()
        })
        .collect();
    assert_eq!(times.first().unwrap().to_utc(), second(2000));
    assert_eq!(times.last().unwrap().to_utc(), second(4750));
    assert!(!page.has_next);
}

#[tokio::test]
async fn threats_are_read_by_creation_date_and_an_empty_list_is_an_answer() {
    let console = started();
    console.seed(noon());
    let client = client(&console);
    assert_eq!(client.page(Listing::Threats, noon(), None, 0, 4).await.unwrap().items.len(), 4);
    let rest = client.page(Listing::Threats, noon(), None, 4, 4).await.unwrap();
    assert_eq!((rest.items.len(), rest.count, rest.has_next), (2, Some(6), false));
    let later =
        client.page(Listing::Threats, noon() + TimeDelta::days(1), None, 0, 4).await.unwrap();
    assert_eq!((later.items.len(), later.has_next), (0, false));
}

#[tokio::test]
async fn what_lies_beyond_the_result_window_is_refused_and_not_asked_again() {
    let console = started();
    let offset = u32::try_from(RESULT_WINDOW).unwrap();
    let error = client(&console).page(Listing::Alerts, noon(), None, offset, 1).await.unwrap_err();
    assert!(matches!(error, ConsoleError::Refused { status: 400, .. }), "{error}");
    assert!(!error.is_transient());
    assert_eq!(console.requests().of(ALERTS), 1);
}

// ---- faults

/// One console, `times` faults on its alert list, one page asked for.
async fn page_despite(fault: Fault, times: usize) -> (Result<usize, ConsoleError>, u64) {
    let console = started();
    fill(&console, 3, TimeDelta::seconds(1));
    // Short only where the timeout itself is what is tested: a busy machine must not look like one.
    let timeout_s = if fault == Fault::Hang { 1 } else { 30 };
    console.fail_next(ALERTS, times, fault);
    let client = client_with(&console, |settings| {
        settings.request_timeout = Duration::from_secs(timeout_s);
    });
    let page = client.page(Listing::Alerts, noon(), None, 0, PAGE_LIMIT).await;
    (page.map(|page| page.items.len()), console.requests().of(ALERTS))
}

#[tokio::test]
async fn a_passing_fault_costs_a_few_requests_and_nothing_else() {
    let cases = [
        ("two failures", Fault::Status(500), 2, 3),
        ("bad gateway", Fault::Status(502), 1, 2),
        ("too many requests", Fault::Busy { retry_after_s: 0 }, 2, 3),
        ("too many requests, wait a second", Fault::Busy { retry_after_s: 1 }, 1, 2),
        ("a login page with 200", Fault::LOGIN_PAGE, 1, 2),
        ("JSON that stops", Fault::CUT_TEXT, 1, 2),
        ("an object without results", Fault::WITHOUT_RESULTS, 1, 2),
        ("a connection that closes in the body", Fault::CutOff, 1, 2),
        ("no answer", Fault::Hang, 1, 2),
    ];
    let runs = cases.map(|(name, fault, times, requests)| async move {
        let (page, asked) = page_despite(fault, times).await;
        assert_eq!((page, asked), (Ok(3), requests), "{name}");
    });
    join_all(runs).await;
}

#[tokio::test]
async fn a_lasting_fault_is_told_after_a_few_tries_and_is_the_journals_to_wait_out() {
    let cases = [
        (Fault::Status(503), 4, "fails on /api/data/alert/alert/Alert/ (503)"),
        (Fault::Busy { retry_after_s: 0 }, 4, "asks for fewer requests"),
        (Fault::LOGIN_PAGE, 4, "it is a web page"),
        (Fault::CUT_TEXT, 4, "not whole JSON"),
        (Fault::WITHOUT_RESULTS, 4, "has no `results`"),
        (Fault::CutOff, 4, "cannot be reached"),
        // Each of these costs a whole timeout, so there are fewer.
        (Fault::Hang, 2, "did not answer"),
    ];
    let runs = cases.map(|(fault, requests, words)| async move {
        let (page, asked) = page_despite(fault.clone(), 9).await;
        let error = page.unwrap_err();
        assert!(error.to_string().contains(words), "{fault:?}: {error}");
        assert!(error.is_transient(), "{fault:?}: {error}");
        assert_eq!(asked, requests, "{fault:?}");
    });
    join_all(runs).await;
}

#[tokio::test]
async fn a_long_pause_the_console_asks_for_is_passed_on_at_once() {
    let (page, asked) = page_despite(Fault::Busy { retry_after_s: 120 }, 1).await;
    let error = page.unwrap_err();
    assert_eq!(error.retry_after(), Some(Duration::from_mins(2)));
    assert_eq!(asked, 1);
}

#[tokio::test]
async fn an_answer_without_end_is_given_up_at_the_bound() {
    let console = started();
    console.fail_next(ALERTS, 1, Fault::Endless);
    let error = client(&console).page(Listing::Alerts, noon(), None, 0, 1).await.unwrap_err();
    assert!(matches!(error, ConsoleError::TooLarge { .. }), "{error}");
    assert_eq!(console.requests().of(ALERTS), 1);
}

#[tokio::test]
async fn a_console_that_is_gone_is_unreachable_in_words() {
    let console = started();
    let client = client(&console);
    console.stop().await;
    let error = client.version().await.unwrap_err();
    assert!(matches!(error, ConsoleError::Unreachable { .. }), "{error}");
    assert!(error.is_transient() && error.to_string().contains("refused"), "{error}");
}

// ---- who asks

#[tokio::test]
async fn the_console_says_its_version_and_whose_token_this_is() {
    let console = started();
    let client = client_with(&console, |settings| {
        let pasted = format!("Token {}", settings.token.expose_secret());
        settings.token = SecretString::from(pasted);
    });
    assert_eq!(client.version().await.unwrap(), "5.7.29");
    assert_eq!(client.whoami().await.unwrap().as_deref(), Some("opencti-connector"));
}

#[tokio::test]
async fn a_revoked_token_is_told_once_in_words_that_say_what_to_do() {
    let console = started();
    fill(&console, 3, TimeDelta::seconds(1));
    let client = client(&console);
    let patient = Console::with_denied_pause(&console.settings(), Duration::ZERO).unwrap();
    let old = console.settings().token;
    console.set_token(SecretString::from("another"));

    let error = client.page(Listing::Alerts, noon(), None, 0, PAGE_LIMIT).await.unwrap_err();
    assert!(error.is_denied() && error.is_transient());
    let words = error.to_string();
    for part in ["does not accept the API token", "Generate token", "HARFANGLAB_INCIDENTS_TOKEN"] {
        assert!(words.contains(part), "{words}");
    }
    assert_eq!(client.page(Listing::Alerts, noon(), None, 0, PAGE_LIMIT).await.unwrap_err(), error);
    assert_eq!(console.requests().of(ALERTS), 1, "what was denied is not asked again at once");
    assert!(
        patient.page(Listing::Alerts, noon(), None, 0, PAGE_LIMIT).await.unwrap_err().is_denied()
    );
    assert!(patient.denied().borrow().as_ref().unwrap().contains("HARFANGLAB_INCIDENTS_TOKEN"));

    console.set_token(old);
    assert_eq!(
        patient.page(Listing::Alerts, noon(), None, 0, PAGE_LIMIT).await.unwrap().items.len(),
        3
    );
    assert_eq!(*patient.denied().borrow(), None);
}

#[tokio::test]
async fn a_missing_permission_is_not_taken_for_a_wrong_token() {
    let console = started();
    console.fail_next(IOC_RULES, 1, Fault::Status(403));
    let error = client(&console).ioc_rule(None, "x").await.unwrap_err();
    assert!(error.is_denied() && error.to_string().contains("a role that can read"), "{error}");
    assert_eq!(console.requests().of(IOC_RULES), 1);
}

#[tokio::test]
async fn no_error_and_no_debug_output_holds_the_token() {
    let console = started();
    let client = client(&console);
    let token = console.settings().token.expose_secret().to_owned();
    let eager = Console::with_denied_pause(&console.settings(), Duration::ZERO).unwrap();
    let mut shown = vec![format!("{client:?}")];
    let busy = Fault::Busy { retry_after_s: 60 };
    for fault in [Fault::EchoAuthorization, Fault::Status(403), Fault::Status(400), busy] {
        console.fail_next(ALERTS, 1, fault);
        let error = eager.page(Listing::Alerts, noon(), None, 0, 1).await.unwrap_err();
        shown.push(format!("{error} {error:?}"));
    }
    console.stop().await;
    let error = client.whoami().await.unwrap_err();
    shown.push(format!("{error} {error:?}"));
    let shown = shown.join("\n");
    assert!(shown.contains("Rejected: Token ***"), "{shown}");
    assert!(!shown.contains(&token), "{shown}");
}

#[tokio::test]
async fn no_more_requests_run_at_once_or_a_second_than_allowed() {
    let console = started();
    console.set_latency(Duration::from_millis(20));
    let few = client_with(&console, |settings| settings.concurrency = 3);
    join_all((0..12).map(|_| few.version())).await;
    let most = console.requests().most_at_once();
    assert!((2..=3).contains(&most), "{most}");

    let slow = client_with(&console, |settings| settings.requests_per_second = 10);
    let start = Instant::now();
    join_all((0..13).map(|_| slow.version())).await;
    // Ten at once, then one every tenth of a second.
    assert!(start.elapsed() >= Duration::from_millis(290), "{:?}", start.elapsed());
}
