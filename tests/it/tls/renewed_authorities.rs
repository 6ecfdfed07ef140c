//! Files of authorities that change while the service runs.

use std::fs;

use crate::support::{
    app::App,
    authority::Authority,
    notifications::generated_alert,
    stage::{Stage, post},
    tls_front::TlsFront,
    waiting::until,
};

/// Waits until the log says this of the authorities of both, for this cause.
async fn told(app: &mut App, said: &str, cause: &str) {
    for party in ["HarfangLab", "OpenCTI"] {
        let said = format!("the authorities of {party} {said}");
        app.wait_for_log(&said, |line| {
            let is_it = line["message"].as_str()?.contains(&said);
            (is_it && line["attributes"]["cause"] == cause).then_some(())
        })
        .await;
    }
}

/// Lets each of them show a certificate of `authority`.
fn show(fronts: &[TlsFront], authority: &Authority) {
    for front in fronts {
        front.show(&authority.issue());
    }
}

#[tokio::test]
async fn servers_that_change_their_authority_are_trusted_as_soon_as_the_file_names_it() {
    let (old, new) = (Authority::new(), Authority::new());
    let mut stage = Stage::with_webhook().await;
    let file = stage.home.path().join("authorities.pem");
    fs::write(&file, old.pem()).unwrap();
    let mut fronts = Vec::new();
    for (prefix, url) in [
        ("HARFANGLAB_INCIDENTS", stage.console.url()),
        ("OPENCTI", stage.opencti.url().parse().unwrap()),
    ] {
        let target = format!("127.0.0.1:{}", url.port().unwrap());
        let front = TlsFront::before(&target, &old.issue());
        stage.home.set(&format!("{prefix}_URL"), &format!("https://127.0.0.1:{}", front.port()));
        stage.home.set(&format!("{prefix}_SSL_VERIFY"), file.to_str().unwrap());
        fronts.push(front);
    }
    let mut app = stage.home.start(&["serve"]);
    let url = app.webhook().await;
    assert_eq!(post(&url, &generated_alert(1)).await.0.as_u16(), 202);
    stage.closed_works(1).await;

    show(&fronts, &new);
    let refused = async || {
        let reason = app.readiness().await["degraded"]["opencti"].as_str()?.to_owned();
        reason.contains("certificate is not trusted").then_some(reason)
    };
    let reason = until("the new certificate is refused", refused).await;
    assert!(!reason.contains("check OPENCTI_URL, network"), "one remedy is enough: {reason}");
    fs::write(&file, "no certificate").unwrap();
    told(&mut app, "were not replaced; those before stay trusted", "the file changed").await;
    show(&fronts, &old);
    let is_ready = async || (app.readiness().await["status"] == "ready").then_some(());
    until("those before are trusted", is_ready).await;

    fs::write(&file, new.pem()).unwrap();
    told(&mut app, "were replaced", "the file changed").await;
    let refused = async || app.readiness().await["degraded"]["opencti"].as_str().map(str::to_owned);
    until("those before are trusted no longer", refused).await;
    show(&fronts, &new);
    let is_ready = async || (app.readiness().await["status"] == "ready").then_some(());
    until("the new ones are trusted", is_ready).await;
    let asked = stage.console.requests().total();
    assert_eq!(post(&url, &generated_alert(2)).await.0.as_u16(), 202);
    stage.closed_works(2).await;
    // A console that was away for some look-ups is asked again only now and then.
    let is_asked = async || (stage.console.requests().total() > asked).then_some(());
    until("the console is trusted, too", is_asked).await;
    app.hang_up();
    told(&mut app, "are the same as before", "SIGHUP").await;
    assert!(app.terminate().await.success(), "{}", app.log());
}
