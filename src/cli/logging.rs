//! Logs on stderr, a JSON object a line with the keys of other OpenCTI connectors (`timestamp`,
//! `level`, `name`, `message`, `attributes`), or plain text.
//!
//! Does not live here: what is logged, and where (each failure once, at its boundary).

use std::{
    fmt::{self, Write as _},
    io,
};

use anyhow::Context as _;
use chrono::SecondsFormat;
use serde_json::{Map, Value, json};
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    EnvFilter,
    fmt::{
        FmtContext, FormatEvent, FormatFields, FormattedFields, MakeWriter,
        format::{JsonFields, Writer},
    },
    registry::{LookupSpan, Scope},
};

use super::log_queue;
use crate::{clock::Clock, config::ConnectorSettings, escape};

/// Starts logging for a command, as the settings say: each line is written before it goes on. Once a
/// process.
pub(super) fn start(settings: &ConnectorSettings) -> anyhow::Result<()> {
    start_with(settings, io::stderr)
}

/// Starts logging for the service, which waits for no reader (`log_queue`). Once a process.
pub(super) fn start_queued(settings: &ConnectorSettings) -> anyhow::Result<()> {
    let lines = Lines::new(settings);
    let notice = move |dropped: u64| {
        let message = "lines of the log were dropped: nobody read it in time, or it could not be \
                       written";
        let attributes = Map::from_iter([("lines".to_owned(), dropped.into())]);
        format!("{}\n", lines.line(Level::WARN, message, attributes))
    };
    let queue = log_queue::start(notice).context("cannot start the thread of the log")?;
    start_with(settings, move || queue)
}

fn start_with(
    settings: &ConnectorSettings,
    writer: impl for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
) -> anyhow::Result<()> {
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(filter(&settings.log_level)))
        .with_writer(writer)
        // It would tell on stderr that it cannot write to stderr, and end the process when that fails: a
        // full disk, or a reader that is gone, must not end the service.
        .log_internal_errors(false)
        .fmt_fields(JsonFields::new())
        .event_format(Lines::new(settings))
        .finish();
    tracing::subscriber::set_global_default(subscriber).context("logging was started twice")
}

/// Our own level for ourselves. Libraries speak one step less: at `info` they report every
/// connection, below it they quote what is sent: HTTP/2 its headers, the broker's client its log-in,
/// the database its statements with their values. No list of their modules stays complete with the
/// next version of each, so none of them ever speaks there, whatever `RUST_LOG` says. Requests that are
/// no HTTP are told by ourselves (`http_server`), with the address, and not each; so are connections that a
/// pool makes and cannot use (`journal::postgres`).
fn filter(level: &str) -> String {
    let libraries = match level {
        "trace" | "debug" => "info",
        "error" => "error",
        _ => "warn",
    };
    format!(
        "{libraries},actix_http::h1::dispatcher=off,sqlx_core::pool::inner=off,\
         harfanglab_incidents={level}"
    )
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Json,
    Plain,
}

/// Writes one event as one line.
struct Lines {
    name: String,
    shape: Shape,
    clock: Clock,
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    N: for<'writer> FormatFields<'writer> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut attributes = Map::new();
        for span in context.event_scope().into_iter().flat_map(Scope::from_root) {
            let extensions = span.extensions();
            if let Some(fields) = extensions.get::<FormattedFields<N>>()
                && let Ok(Value::Object(fields)) = serde_json::from_str(&fields.fields)
            {
                attributes.extend(fields);
            }
        }
        event.record(&mut Attributes(&mut attributes));
        let message = match attributes.remove("message") {
            Some(Value::String(text)) => text,
            Some(other) => other.to_string(),
            None => String::new(),
        };
        let line = self.line(*event.metadata().level(), &message, attributes);
        // One event stays one line, whatever is in it.
        writeln!(writer, "{}", escape::line(&line))
    }
}

impl Lines {
    fn new(settings: &ConnectorSettings) -> Self {
        Self {
            name: settings.name.clone(),
            shape: if settings.json_logging { Shape::Json } else { Shape::Plain },
            clock: Clock::system(),
        }
    }

    fn line(&self, level: Level, message: &str, attributes: Map<String, Value>) -> String {
        let level = match level {
            Level::ERROR => "ERROR",
            Level::WARN => "WARNING",
            Level::INFO => "INFO",
            _ => "DEBUG",
        };
        if self.shape == Shape::Plain {
            let mut line = format!("{level}:{}:{message}", self.name);
            for (name, value) in attributes {
                // Writing to a string cannot fail.
                let _ = write!(line, " {name}={value}");
            }
            return line;
        }
        let timestamp = self.clock.now().to_rfc3339_opts(SecondsFormat::Micros, true);
        let mut line = json!({
            "timestamp": timestamp,
            "level": level,
            "name": self.name,
            "message": message,
        });
        if !attributes.is_empty() {
            line["attributes"] = Value::Object(attributes);
        }
        line.to_string()
    }
}

/// Collects the fields of an event.
struct Attributes<'a>(&'a mut Map<String, Value>);

impl Attributes<'_> {
    fn put(&mut self, field: &Field, value: impl Into<Value>) {
        self.0.insert(field.name().to_owned(), value.into());
    }
}

impl Visit for Attributes<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value);
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io,
        sync::{Arc, Mutex},
    };

    use chrono::DateTime;

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(shape: Shape, log: impl FnOnce()) -> String {
        logged_at("info", shape, log)
    }

    fn logged_at(level: &str, shape: Shape, log: impl FnOnce()) -> String {
        let written = Written::default();
        let writer = written.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_env_filter(EnvFilter::new(filter(level)))
            .with_writer(move || writer.clone())
            .fmt_fields(JsonFields::new())
            .event_format(Lines {
                name: "HarfangLab EDR".to_owned(),
                shape,
                clock: Clock::from_fn(|| DateTime::UNIX_EPOCH),
            })
            .finish();
        tracing::subscriber::with_default(subscriber, log);
        let bytes = written.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn an_event_is_one_json_line_with_the_keys_of_other_connectors() {
        let lines = logged(Shape::Json, || {
            let span = tracing::info_span!("request", id = 7);
            let _entered = span.enter();
            tracing::warn!(alert = "a\nb", waiting = 3, "cannot deliver to {}", "OpenCTI");
            tracing::debug!("not at this level");
        });
        let line: Value = serde_json::from_str(&lines).unwrap();
        let expected = json!({
            "timestamp": "1970-01-01T00:00:00.000000Z",
            "level": "WARNING",
            "name": "HarfangLab EDR",
            "message": "cannot deliver to OpenCTI",
            "attributes": {"id": 7, "alert": "a\nb", "waiting": 3},
        });
        assert_eq!(line, expected);
        assert_eq!(lines.lines().count(), 1);
    }

    #[test]
    fn whatever_the_operator_sets_libraries_never_speak_below_info() {
        for level in ["error", "warn", "info", "debug", "trace"] {
            let log = logged_at(level, Shape::Json, || {
                tracing::debug!(target: "hyper::proto", "authorization: Token s3cret");
                tracing::trace!(target: "lapin::frames", "PLAIN s3cret");
                tracing::debug!(target: "tracing_actix_web", "s3cret");
                tracing::trace!("our own");
            });
            assert!(!log.contains("s3cret"), "{level}: {log}");
            assert_eq!(log.contains("our own"), level == "trace", "{level}: {log}");
        }
    }

    #[test]
    fn no_hidden_character_reaches_a_terminal_and_json_stays_what_it_says() {
        let hostile =
            "\u{1b}[2J\u{9b}31m\u{7f}\r\n\",\"level\":\"INFO\"\u{2028}\u{202e}gpj\u{200b}\u{e0041}";
        for shape in [Shape::Json, Shape::Plain] {
            let log = logged(shape, || tracing::warn!(rule = hostile, "{hostile}"));
            let line = log.strip_suffix('\n').unwrap();
            assert!(!line.contains(escape::is_hidden), "{line:?}");
            if shape == Shape::Json {
                let line: Value = serde_json::from_str(line).unwrap();
                let told = (&line["message"], &line["attributes"]["rule"], &line["level"]);
                assert_eq!(told, (&json!(hostile), &json!(hostile), &json!("WARNING")));
            }
        }
    }

    #[test]
    fn plain_lines_stay_one_line_an_event() {
        let line = logged(Shape::Plain, || {
            tracing::error!(tries = 2, "it's lost\nINFO:forged:line");
        });
        assert_eq!(line, "ERROR:HarfangLab EDR:it's lost\\nINFO:forged:line tries=2\n");
    }
}
