//! The pages of many pushed alerts, asked for at once.

use chrono::TimeDelta;
use futures_util::{FutureExt, future::join_all};
use harfanglab_incidents::{
    demo::{DemoAlert, DemoConsole, DemoConsoleConfig, Fault, Generator, UniqueIdFilter},
    harfanglab::{Console, ConsoleError},
};
use tokio::task::JoinHandle;

use crate::support::{
    demo_console::{ALERTS, client, fill, noon, started},
    waiting::until,
};

fn with_filter(unique_id_filter: UniqueIdFilter) -> DemoConsole {
    let config = DemoConsoleConfig { unique_id_filter, ..Default::default() };
    DemoConsole::start(config).unwrap()
}

/// Looks for all of `alerts` at once; answers the ids of their pages.
async fn looked_up(client: &Console, alerts: &[DemoAlert]) -> Vec<Option<String>> {
    let look_ups = alerts.iter().map(async |alert| {
        let (id, agent, time) = (alert.unique_id(), alert.agent_id(), alert.raised_at());
        client.page_of_push(id, Some(&agent), Some(time)).await.unwrap()
    });
    join_all(look_ups).await
}

/// A look-up that has asked a console which hangs.
async fn asking_in_vain(
    console: &DemoConsole,
    client: &Console,
    alert: &DemoAlert,
) -> JoinHandle<Result<Option<String>, ConsoleError>> {
    console.fail_next(ALERTS, 1, Fault::Hang);
    let (client, alert) = (client.clone(), alert.clone());
    let asking =
        tokio::spawn(async move { client.page_of_push(alert.unique_id(), None, None).await });
    until("a request", async || (console.requests().of(ALERTS) > 0).then_some(())).await;
    asking
}

fn pages(alerts: &[DemoAlert]) -> Vec<Option<String>> {
    alerts.iter().map(|alert| Some(alert.api_id())).collect()
}

#[tokio::test]
async fn a_burst_of_pushes_costs_a_request_a_hundred_alerts_on_every_kind_of_console() {
    for filter in [UniqueIdFilter::Honoured, UniqueIdFilter::Ignored, UniqueIdFilter::Refused] {
        let console = with_filter(filter);
        let alerts = fill(&console, 300, TimeDelta::milliseconds(100));
        let found = looked_up(&client(&console), &alerts).await;
        assert_eq!(found, pages(&alerts), "{filter:?}");
        // The first is asked for alone, since it comes before all others: by its id, then by its agent.
        let (alone, pages) = (4, 4);
        let requests = console.requests().total();
        assert!(requests <= alone + pages, "{requests} requests, {filter:?}");
    }
}

#[tokio::test]
async fn what_the_console_does_not_show_yet_costs_the_others_nothing() {
    let console = started();
    let mut alerts = fill(&console, 40, TimeDelta::milliseconds(100));
    let shown = pages(&alerts);
    let mut generator = Generator::new(8);
    alerts.extend(
        (0..40).map(|number| {
            generator.next_alert(noon() + TimeDelta::milliseconds(100 * number + 50))
        }),
    );
    let found = looked_up(&client(&console), &alerts).await;
    assert_eq!(found[..40], shown[..]);
    assert_eq!(found[40..], vec![None; 40]);
    assert!(console.requests().total() <= 3, "{:?}", console.requests());

    // None of them there: one is asked for alone, and speaks for the others.
    let asked = console.requests().total();
    assert_eq!(looked_up(&client(&console), &alerts[40..]).await, vec![None; 40]);
    assert!(console.requests().total() - asked <= 3, "{:?}", console.requests());
}

#[tokio::test]
async fn alerts_that_lie_far_apart_or_among_thousands_of_others_are_found_all_the_same() {
    let console = started();
    let far: Vec<_> = fill(&console, 10, TimeDelta::hours(1));
    assert_eq!(looked_up(&client(&console), &far).await, pages(&far));

    let crowded = with_filter(UniqueIdFilter::Honoured);
    let all = fill(&crowded, 3_000, TimeDelta::milliseconds(1));
    let few: Vec<_> = all.into_iter().step_by(300).collect();
    assert_eq!(looked_up(&client(&crowded), &few).await, pages(&few));
    assert!(crowded.requests().total() <= 10 + 10, "{:?}", crowded.requests());
}

#[tokio::test]
async fn a_few_at_a_time_cost_no_more_where_their_neighbours_follow() {
    let console = with_filter(UniqueIdFilter::Honoured);
    let alerts = fill(&console, 1_000, TimeDelta::milliseconds(1));
    let client = client(&console);
    for some in alerts.chunks(16) {
        assert_eq!(looked_up(&client, some).await, pages(some));
    }
    assert!(console.requests().total() <= 20, "{:?}", console.requests());
}

#[tokio::test]
async fn alerts_that_the_console_lists_under_other_times_are_found_by_their_ids() {
    let console = started();
    let mut generator = Generator::new(9);
    let alerts: Vec<_> = (0..20).map(|_| generator.next_alert(noon())).collect();
    for alert in &alerts {
        let mut item = alert.api_item();
        item["alert_time"] = (noon() + TimeDelta::hours(2)).to_rfc3339().into();
        console.add_alert(item);
    }
    assert_eq!(looked_up(&client(&console), &alerts).await, pages(&alerts));
}

#[tokio::test]
async fn whoever_is_called_off_while_asking_for_all_leaves_nobody_without_an_answer() {
    let console = started();
    let alerts = fill(&console, 50, TimeDelta::milliseconds(100));
    let client = client(&console);
    let asking = asking_in_vain(&console, &client, &alerts[0]).await;
    let others = tokio::spawn({
        let (client, alerts) = (client.clone(), alerts.clone());
        async move { looked_up(&client, &alerts[1..]).await }
    });
    asking.abort();
    assert_eq!(others.await.unwrap(), pages(&alerts[1..]));
}

#[tokio::test]
async fn whoever_is_called_off_while_another_asks_is_not_asked_for() {
    let console = started();
    let alerts = fill(&console, 9, TimeDelta::milliseconds(100));
    let client = client(&console);
    let asking = asking_in_vain(&console, &client, &alerts[0]).await;
    for alert in &alerts[2..] {
        assert!(client.page_of_push(alert.unique_id(), None, None).now_or_never().is_none());
    }
    asking.abort();
    let found = client.page_of_push(alerts[1].unique_id(), None, None).await;
    assert_eq!(found, Ok(Some(alerts[1].api_id())));
    assert_eq!(console.requests().of(ALERTS), 2);
}

#[tokio::test]
async fn everybody_is_told_of_a_console_that_fails() {
    let console = started();
    let alerts = fill(&console, 20, TimeDelta::milliseconds(100));
    console.fail_next(ALERTS, 1_000, Fault::Status(503));
    let client = client(&console);
    let look_ups = alerts
        .iter()
        .map(|alert| client.page_of_push(alert.unique_id(), None, Some(alert.raised_at())));
    for answer in join_all(look_ups).await {
        assert!(answer.unwrap_err().is_transient());
    }
}
