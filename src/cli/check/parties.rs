//! Ways in which `check` reaches each party: `Ok` with what it answered, `Err` with what is wrong and what
//! to do.

use std::collections::BTreeMap;

use crate::{
    clock::Clock,
    config::{HarfangLabSettings, OpenCtiSettings, S3Settings, Settings, TlsVerification},
    harfanglab::Console,
    opencti::{AccountStanding, OpenCti, Registration, S3Bucket, probe, resolve_workflow},
    outbound::ServerTrust,
    service::service_account,
};

/// Asks the console for its version, for the user behind the token, and for what it may read.
pub(super) async fn console(settings: &HarfangLabSettings) -> Result<String, String> {
    let console = Console::new(settings).map_err(|error| error.to_string())?;
    let version = console.version().await.map_err(|error| error.to_string())?;
    let user = console.whoami().await.map_err(|error| error.to_string())?;
    console.may_read().await.map_err(|error| error.to_string())?;
    let user = user.map(|user| format!(", as {user}")).unwrap_or_default();
    Ok(format!("version {version} at {}{user}", settings.url))
}

/// Asks the platform for its version, which also shows whether the token is good, and registers
/// the connector: only that tells where the broker is, and whether the token may. For a service
/// account that has no token yet nothing is registered, because nothing is made for a check.
pub(super) async fn platform(
    opencti: &OpenCtiSettings,
    settings: &Settings,
) -> Result<(String, Option<Registration>), String> {
    let platform = OpenCti::new(opencti).map_err(|error| error.to_string())?;
    let version = platform.version().await.map_err(|error| error.to_string())?;
    let version = version.map_or("of unknown version".to_owned(), |it| format!("version {it}"));
    let at = format!("{version} at {}", opencti.url);
    let Some(account) = service_account(&settings.connector) else {
        return registered(&platform, settings, at).await;
    };
    let name = account.user_name();
    match platform.look_for_account(&account).await.map_err(|error| error.to_string())? {
        AccountStanding::Readable(token) => {
            let opencti = OpenCtiSettings { token, ..opencti.clone() };
            let platform = OpenCti::new(&opencti).map_err(|error| error.to_string())?;
            platform.version().await.map_err(|error| error.to_string())?;
            registered(&platform, settings, format!("{at}, as the service account {name}")).await
        }
        AccountStanding::There => {
            let then = "each start makes it a new token and revokes the one before";
            Ok((format!("{at}, the service account {name} is there; {then}"), None))
        }
        AccountStanding::Missing => {
            let then = "in the group \"Connectors\"";
            Ok((format!("{at}, a start will make the service account {name} {then}"), None))
        }
    }
}

async fn registered(
    platform: &OpenCti,
    settings: &Settings,
    words: String,
) -> Result<(String, Option<Registration>), String> {
    let registration =
        platform.register(&settings.connector).await.map_err(|error| error.to_string())?;
    let words = format!("{words}, connector {} registered", settings.connector.id);
    Ok((words, Some(registration)))
}

/// Holds the operator's map of statuses against OpenCTI's workflow of incidents.
pub(super) async fn workflow(
    opencti: &OpenCtiSettings,
    wanted: &BTreeMap<String, String>,
) -> Result<String, String> {
    let platform = OpenCti::new(opencti).map_err(|error| error.to_string())?;
    let statuses = platform.incident_statuses().await.map_err(|error| error.to_string())?;
    let resolved = resolve_workflow(wanted, &statuses);
    match resolved.complaint {
        Some(complaint) => Err(complaint),
        None => Ok(format!("{} statuses of alerts set those of incidents", resolved.ids.len())),
    }
}

/// Connects to the broker that registration told of, with the operator's overrides.
pub(super) async fn broker(
    settings: &Settings,
    registration: &Registration,
) -> Result<String, String> {
    let details = registration.connection.clone().with_overrides(&settings.mq);
    probe(&registration.connection, &settings.mq).await.map_err(|error| error.to_string())?;
    Ok(format!("connected to {}:{} as {}", details.host, details.port, details.user))
}

/// Lists the bucket that the settings name, or the one that registration told of.
pub(super) async fn s3(
    s3: &S3Settings,
    settings: &Settings,
    registration: &Registration,
) -> Result<String, String> {
    let tls = settings.opencti.as_ref().map_or(&TlsVerification::System, |opencti| &opencti.tls);
    let trust = ServerTrust::new(tls).and_then(|trust| trust.at_least_system());
    let trust = trust.map_err(|error| error.to_string())?;
    let bucket = S3Bucket::new(s3, registration.s3.as_ref(), &trust, Clock::system())
        .map_err(|error| error.to_string())?;
    bucket.probe().await.map_err(|error| error.to_string())?;
    Ok(format!("may list the {}", bucket.place()))
}
