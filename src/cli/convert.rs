//! `convert`: one alert or threat in, one bundle out, offline.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use anyhow::{Context as _, bail};
use serde_json::Value;
use url::Url;

use super::{arguments::ConvertArguments, failure::Failure, output, setup};
use crate::{
    clock::Clock,
    config::{ConversionSettings, IncidentNaming},
    convert::{
        Conversion, ConvertSettings, Known, carried_intelligence, convert_alert, convert_threat,
    },
    intake::dialect::{Dialect, Recognised, read_alert, read_threat, recognise},
};

/// Longest input that is read, in bytes.
const INPUT_MAX_BYTES: u64 = 64 << 20;

/// What links lead to while nobody has said where the console is.
const PLACEHOLDER_CONSOLE: &str = "https://harfanglab.invalid";

/// Converts standard input or a file.
pub(super) fn run(config: Option<&Path>, arguments: &ConvertArguments) -> Result<(), Failure> {
    let settings = convert_settings(setup::load_for_conversion(config)?);
    let input = read_input(arguments.file.as_deref())?;
    let element: Value = serde_json::from_slice(&input)
        .context("the input is not one JSON value; give one alert or threat")?;
    let known = Known { received_at: Clock::system().now(), identity: None };
    let conversion = convert(&element, &known, &settings)?;
    for left_out in &conversion.left_out {
        eprintln!("left out: {}: {}", left_out.what, left_out.why);
    }
    let bundle = serde_json::to_value(&conversion.bundle).context("the bundle is not JSON")?;
    let text = if arguments.pretty { format!("{bundle:#}\n") } else { format!("{bundle}\n") };
    output::print(&text)
}

fn convert(
    element: &Value,
    known: &Known,
    settings: &ConvertSettings,
) -> anyhow::Result<Conversion> {
    match recognise(element) {
        Recognised::Notification(Dialect::NativeThreat) => {
            Ok(convert_threat(&read_threat(element), &[], known, settings))
        }
        Recognised::Notification(dialect) => {
            let alert = read_alert(dialect, element);
            let carried = carried_intelligence(&alert);
            Ok(convert_alert(&alert, carried.as_ref(), known, settings))
        }
        Recognised::Telemetry(kind) => {
            bail!("this is telemetry ({kind}), which the service counts and does not import")
        }
        Recognised::ConnectionTest => bail!("this is HarfangLab's connection test: nothing in it"),
        Recognised::Unknown => {
            bail!("this is neither an alert nor a threat in any form that HarfangLab is known for")
        }
    }
}

fn convert_settings(loaded: ConversionSettings) -> ConvertSettings {
    ConvertSettings {
        author: loaded.author,
        marking: loaded.import.marking,
        score: loaded.import.score,
        naming: loaded.import.naming.unwrap_or(IncidentNaming::Title),
        console_url: loaded.console_url.unwrap_or_else(|| {
            Url::parse(PLACEHOLDER_CONSOLE).expect("it is a constant that parses")
        }),
    }
}

fn read_input(file: Option<&Path>) -> anyhow::Result<Vec<u8>> {
    let mut input = Vec::new();
    let mut limited: Box<dyn Read> = match file {
        Some(path) => {
            let file =
                File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
            Box::new(file.take(INPUT_MAX_BYTES + 1))
        }
        None => Box::new(io::stdin().lock().take(INPUT_MAX_BYTES + 1)),
    };
    limited.read_to_end(&mut input).context("cannot read the input")?;
    if input.len() as u64 > INPUT_MAX_BYTES {
        bail!("the input is longer than {INPUT_MAX_BYTES} bytes");
    }
    Ok(input)
}
