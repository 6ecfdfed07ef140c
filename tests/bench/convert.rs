//! What an alert costs between the journal and the queue, on one core: read, converted, split, and
//! each message encoded.

use std::time::Instant;

use base64::{Engine, engine::general_purpose::STANDARD};
use chrono::TimeDelta;
use harfanglab_incidents::{
    clock::Clock,
    convert::{ConvertSettings, Known, convert_alert},
    demo::Generator,
    intake::dialect::{Dialect, read_alert},
    opencti::{Dangling, split},
};
use serde_json::Value;

use crate::{
    Plan, settings,
    table::{Figures, Row},
};

/// Alerts of one round.
const ALERTS: u32 = 2_000;
/// Milliseconds of CPU that the Python connector took for an alert, splitting and publishing included:
/// 60.8 s for 10,000, measured on 2 cores in August 2026 with pycti 7.260817.0.
const PEER_MILLISECONDS: f64 = 6.0;

/// Converts a text as the journal holds it into the messages of the queue; answers their bytes.
fn messages(text: &str, settings: &ConvertSettings, known: &Known) -> usize {
    let element: Value = serde_json::from_str(text).expect("it was JSON");
    let alert = read_alert(Dialect::NativeAlert, &element);
    let conversion = convert_alert(&alert, None, known, settings);
    let split = split(&conversion.bundle, Dangling::Keep).expect("our bundles can be split");
    let encode = |piece: harfanglab_incidents::opencti::Piece| {
        let bundle = piece.without_nulls().to_bundle(&conversion.bundle.id);
        STANDARD.encode(bundle.to_string()).len()
    };
    split.pieces.into_iter().map(encode).sum()
}

/// All rows.
pub(crate) fn measure(plan: &Plan) -> Vec<Row> {
    let mut generator = Generator::new(1);
    let now = Clock::system().now();
    let texts: Vec<String> = (0..ALERTS)
        .map(|number| {
            let raised_at = now - TimeDelta::milliseconds(i64::from(number));
            generator.next_alert(raised_at).api_item().to_string()
        })
        .collect();
    let (settings, known) = (settings::convert(), Known::received(now));
    let mut per_alert = Figures::default();
    let mut bytes = 0;
    for number in 0..=plan.rounds {
        let begin = Instant::now();
        bytes = texts.iter().map(|text| messages(text, &settings, &known)).sum();
        let took = begin.elapsed().as_secs_f64() * 1_000.0 / f64::from(ALERTS);
        // The first round warms up.
        if number > 0 {
            per_alert.push(took);
        }
    }
    let note = format!(
        "{bytes} bytes of messages a round. In another session the Python connector took about \
         {PEER_MILLISECONDS} ms of CPU for an alert, publishing included: no ratio"
    );
    vec![Row::alone("read, convert, split, encode, per alert", "ms", per_alert).note(note)]
}
