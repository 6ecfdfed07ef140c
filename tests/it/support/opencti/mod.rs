//! A stateful OpenCTI for tests: it takes GraphQL over HTTP and refuses what the real one of that
//! version refuses, with the same codes. It keeps connectors, their states and works, and makes
//! the connectors' queues in the real RabbitMQ.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use harfanglab_incidents::config::{
    ConnectorSettings, OpenCtiSettings, SendingSettings, TlsVerification,
};
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::{
    app::patience,
    broker::{Broker, Message, push_queue},
    opencti::state::{FakeWorkError, Fault},
};

mod accounts;
mod graphql;
mod knowledge;
mod pushes;
mod resolvers;
mod sightings;
mod state;

pub(crate) use self::{
    knowledge::Knowledge,
    sightings::FakeSighting,
    state::{FakeConnector, FakeDraft, FakePush, FakeRequest, FakeUser, FakeWork, Outage, State},
};

/// The platform that the fake is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Personality {
    V6_4_0,
    V6_9_28,
    V7_260817_0,
}

impl Personality {
    pub(crate) const ALL: [Self; 3] = [Self::V6_4_0, Self::V6_9_28, Self::V7_260817_0];

    pub(crate) fn version(self) -> &'static str {
        match self {
            Self::V6_4_0 => "6.4.0",
            Self::V6_9_28 => "6.9.28",
            Self::V7_260817_0 => "7.260817.0",
        }
    }

    /// The schema it understands.
    pub(crate) fn schema(self) -> &'static str {
        match self {
            Self::V6_4_0 => include_str!("../../../fixtures/opencti-6.4.0.graphql"),
            Self::V6_9_28 => include_str!("../../../fixtures/opencti-6.9.28.graphql"),
            Self::V7_260817_0 => include_str!("../../../fixtures/opencti-7.260817.0.graphql"),
        }
    }
}

struct Shared {
    personality: Personality,
    schema: graphql::Schema,
    broker: Option<Arc<Broker>>,
    state: watch::Sender<State>,
}

/// A running fake. It ends with the test's runtime.
#[derive(Clone)]
pub(crate) struct FakeOpenCti {
    url: String,
    shared: Arc<Shared>,
}

impl FakeOpenCti {
    /// A platform whose connectors get queues in `broker`.
    pub(crate) fn start(personality: Personality, broker: Arc<Broker>) -> Self {
        Self::run(personality, Some(broker))
    }

    /// A platform that answers a broker where nobody listens.
    pub(crate) fn start_without_broker(personality: Personality) -> Self {
        Self::run(personality, None)
    }

    fn run(personality: Personality, broker: Option<Arc<Broker>>) -> Self {
        let state = State { token: "fake-opencti-token".to_owned(), ..State::default() };
        let shared = Arc::new(Shared {
            personality,
            schema: graphql::Schema::parse(personality.schema()),
            broker,
            state: watch::Sender::new(state),
        });
        let data = web::Data::from(shared.clone());
        let server = HttpServer::new(move || {
            let any_size = web::JsonConfig::default().limit(100_000_000);
            App::new()
                .app_data(data.clone())
                .app_data(any_size)
                .route("/graphql", web::post().to(answer))
        })
        .workers(1)
        .disable_signals()
        .bind(("127.0.0.1", 0))
        .unwrap();
        let url = format!("http://{}", server.addrs()[0]);
        tokio::spawn(server.run());
        Self { url, shared }
    }

    /// Returns what `OPENCTI_URL` must be.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Returns what `OPENCTI_TOKEN` must be.
    pub(crate) fn token(&self) -> String {
        self.shared.state.borrow().token.clone()
    }

    /// Settings that lead here.
    pub(crate) fn settings(&self) -> OpenCtiSettings {
        OpenCtiSettings {
            url: self.url().parse().unwrap(),
            token: SecretString::from(self.token()),
            token_file: None,
            tls: TlsVerification::System,
            custom_headers: Vec::new(),
        }
    }

    /// An administrator gives incidents a workflow of these statuses (id, name).
    pub(crate) fn set_incident_statuses(&self, statuses: &[(&str, &str)]) {
        self.shared.state.send_modify(|state| {
            let owned = |(id, name): &(&str, &str)| ((*id).to_owned(), (*name).to_owned());
            state.incident_statuses = statuses.iter().map(owned).collect();
        });
    }

    /// A copy of everything the fake knows.
    pub(crate) fn state(&self) -> State {
        self.shared.state.borrow().clone()
    }

    pub(crate) fn works(&self) -> Vec<FakeWork> {
        self.state().works
    }

    /// A connector, which must be registered.
    pub(crate) fn connector(&self, id: &str) -> FakeConnector {
        self.state().connectors.get(id).expect("the connector is registered").clone()
    }

    /// Variables of every request of an operation, oldest first.
    pub(crate) fn requests(&self, operation: &str) -> Vec<Value> {
        let requests = self.state().requests;
        requests.into_iter().filter(|r| r.operation == operation).map(|r| r.variables).collect()
    }

    /// Waits until the state is as wanted.
    pub(crate) async fn wait_for(&self, what: &str, wanted: impl FnMut(&State) -> bool) -> State {
        let mut states = self.shared.state.subscribe();
        let waiting = states.wait_for(wanted);
        let in_time = tokio::time::timeout(patience(), waiting).await;
        let Ok(state) = in_time else { panic!("never happened: {what}; {:#?}", self.state()) };
        state.expect("the fake lives as long as the test").clone()
    }

    /// From now on a maintenance page answers instead of the platform.
    pub(crate) fn go_down(&self) {
        self.go_down_as(Outage::MAINTENANCE);
    }

    /// From now on every request is answered like this.
    pub(crate) fn go_down_as(&self, outage: Outage) {
        self.shared.state.send_modify(|state| state.outage = Some(outage));
    }

    /// From now on every request is taken and none is answered, until it comes back.
    pub(crate) fn fall_silent(&self) {
        self.shared.state.send_modify(|state| state.is_silent = true);
    }

    pub(crate) fn come_back(&self) {
        self.shared.state.send_modify(|state| {
            state.outage = None;
            state.is_silent = false;
        });
    }

    /// The next request of this operation fails with this code.
    pub(crate) fn fail_next(&self, operation: &str, code: &str, message: &str) {
        let [operation, code, message] = [operation, code, message].map(str::to_owned);
        let fault = Fault { operation, code, message };
        self.shared.state.send_modify(|state| state.faults.push(fault));
    }

    /// From now on requests of this operation are not answered.
    pub(crate) fn hold(&self, operation: &str) {
        self.shared.state.send_modify(|state| state.held = Some(operation.to_owned()));
    }

    /// Answers what was held.
    pub(crate) fn let_go(&self) {
        self.shared.state.send_modify(|state| state.held = None);
    }

    /// From now on another token is valid.
    pub(crate) fn change_token(&self, token: &str) {
        self.shared.state.send_modify(|state| token.clone_into(&mut state.token));
    }

    /// `about` answers this version; what is understood stays the personality's.
    pub(crate) fn claim_version(&self, version: &str) {
        self.shared.state.send_modify(|state| state.claimed_version = Some(version.to_owned()));
    }

    /// Every token of every user that an administrator made is revoked.
    pub(crate) fn revoke_tokens(&self) {
        self.shared.state.send_modify(|state| {
            state.users.iter_mut().for_each(|user| user.tokens.clear());
        });
    }

    /// From now on longer requests are answered 413, as by a proxy in front.
    pub(crate) fn limit_bodies(&self, bytes: usize) {
        self.shared.state.send_modify(|state| state.max_body_bytes = Some(bytes));
    }

    /// Registration tells of this S3 server.
    pub(crate) fn tell_s3(&self, s3: Value) {
        self.shared.state.send_modify(|state| state.s3 = s3);
    }

    /// The platform keeps this state of a connector, as if somebody had sent it before.
    pub(crate) fn keep_state(&self, connector_id: &str, text: &str) {
        self.shared.state.send_modify(|state| {
            let connector = state.connectors.get_mut(connector_id).expect("it is registered");
            connector.state = Some(text.to_owned());
        });
    }

    /// From now on the connector's queue is said to hold so much.
    pub(crate) fn fill_queue(&self, connector_id: &str, bytes: f64) {
        self.shared.state.send_modify(|state| {
            let connector = state.connectors.entry(connector_id.to_owned()).or_default();
            connector.queue_bytes = bytes;
        });
    }

    /// The refresh button of the user interface: the state is emptied, the queue purged, and every work
    /// complete with as many objects as were processed by then.
    pub(crate) async fn reset_state(&self, connector_id: &str) {
        self.shared.state.send_modify(|state| {
            let connector = state.connectors.get_mut(connector_id).expect("it is registered");
            connector.state = Some(String::new());
            connector.is_reset = true;
            connector.queue_bytes = 0.0;
            let works = state.works.iter_mut().filter(|work| work.connector_id == connector_id);
            works.for_each(|work| work.is_complete = true);
        });
        if let Some(broker) = &self.shared.broker {
            broker.purge_queue(&push_queue(connector_id)).await;
        }
    }

    /// The worker refuses an object of a work, given as it was sent.
    pub(crate) fn refuse_object(&self, work_id: &str, object: &Value, message: &str) {
        let (message, source) = (message.to_owned(), object.to_string());
        self.change_work(work_id, |work| work.errors.push(FakeWorkError { message, source }));
    }

    /// From now on errors of works are said to have come at this time.
    pub(crate) fn date_errors(&self, time: &str) {
        self.shared.state.send_modify(|state| state.errors_at = Some(time.to_owned()));
    }

    /// The worker is through with so many more objects of a work.
    pub(crate) fn process(&self, work_id: &str, objects: i64) {
        self.change_work(work_id, |work| {
            work.processed += objects;
            let may_complete = work.closed.is_some() || !work.is_multi_part;
            work.is_complete |= may_complete && work.processed >= work.expected;
        });
    }

    /// The worker is through with a work.
    pub(crate) fn complete_work(&self, work_id: &str) {
        self.change_work(work_id, FakeWork::complete);
    }

    /// The worker is through with every work that is closed.
    pub(crate) fn complete_closed_works(&self) {
        self.shared.state.send_modify(|state| {
            let is_open = |work: &&mut FakeWork| work.closed.is_some() && !work.is_complete;
            state.works.iter_mut().filter(is_open).for_each(FakeWork::complete);
        });
    }

    /// The search engine is away while the worker comes to the last objects of a work: they count as
    /// processed, none is imported, none is an error, and the work stays in progress for ever.
    pub(crate) fn burn_objects(&self, work_id: &str) {
        self.change_work(work_id, |work| {
            work.processed = work.expected;
            work.is_complete = false;
        });
    }

    /// A person deletes a work.
    pub(crate) fn delete_work(&self, work_id: &str) {
        self.change_work(work_id, |work| work.is_deleted = true);
    }

    fn change_work(&self, work_id: &str, change: impl FnOnce(&mut FakeWork)) {
        self.shared.state.send_modify(|state| {
            let work = state.works.iter_mut().find(|work| work.id == work_id);
            change(work.expect("the work exists"));
        });
    }

    /// From now on the token's user may not read works.
    pub(crate) fn take_right_to_read_works(&self) {
        self.shared.state.send_modify(|state| state.may_not_read_works = true);
    }

    /// The worker imports a sighting, with all that this platform makes of it.
    pub(crate) fn import_sighting(&self, object: &Value) {
        let personality = self.shared.personality;
        self.shared.state.send_modify(|state| {
            sightings::import(&mut state.knowledge.sightings, personality, object);
        });
    }

    /// An administrator or analyst works on what was imported.
    pub(crate) fn change_knowledge(&self, change: impl FnOnce(&mut Knowledge)) {
        self.shared.state.send_modify(|state| change(&mut state.knowledge));
    }

    /// The worker imports what these messages bring, and reports what it could not.
    pub(crate) fn work_off(&self, messages: &[Message]) {
        let personality = self.shared.personality;
        for message in messages {
            let object = &message.bundle["objects"][0];
            let mut imported = Ok(());
            self.change_knowledge(|known| imported = known.import(personality, object));
            let work = message.body["work_id"].as_str().expect("a text");
            if let Err(words) = imported {
                self.refuse_object(work, object, &words);
            }
            self.process(work, 1);
        }
    }

    /// The delete button: connector, works and queue go.
    pub(crate) async fn delete_connector(&self, connector_id: &str) {
        self.shared.state.send_modify(|state| {
            state.connectors.remove(connector_id).expect("it is registered");
            state.resolving.remove(connector_id);
            state.works.iter_mut().filter(|work| work.connector_id == connector_id).for_each(
                |work| {
                    work.is_deleted = true;
                },
            );
        });
        if let Some(broker) = &self.shared.broker {
            broker.delete_queue(&push_queue(connector_id)).await;
        }
    }
}

/// Settings of a connector with this id, all else usual.
pub(crate) fn connector_settings(id: &str) -> ConnectorSettings {
    ConnectorSettings {
        id: id.to_owned(),
        name: "HarfangLab".to_owned(),
        scope: vec!["harfanglab".to_owned(), "edr".to_owned()],
        log_level: "error".to_owned(),
        json_logging: true,
        duration_period: Duration::from_mins(5),
        run_and_terminate: false,
        queue_threshold_mb: 500.0,
        send_to_queue: true,
        directory: None,
        sending: SendingSettings::default(),
    }
}

async fn answer(
    shared: web::Data<Shared>,
    request: HttpRequest,
    body: web::Json<Value>,
) -> HttpResponse {
    if shared.state.borrow().is_silent {
        let mut states = shared.state.subscribe();
        let spoke = states.wait_for(|state| !state.is_silent).await;
        drop(spoke.expect("it lives as long as the server"));
    }
    let outage = shared.state.borrow().outage;
    if let Some(Outage { status, content_type, body }) = outage {
        shared.state.send_modify(|state| state.turned_away += 1);
        let status = actix_web::http::StatusCode::from_u16(status).unwrap();
        return HttpResponse::build(status).content_type(content_type).body(body);
    }
    let limit = shared.state.borrow().max_body_bytes;
    if limit.is_some_and(|limit| body.to_string().len() > limit) {
        return HttpResponse::PayloadTooLarge().body("<html>413</html>");
    }
    let header = |name: &str| {
        let value = request.headers().get(name).and_then(|value| value.to_str().ok());
        value.unwrap_or_default().to_owned()
    };
    let (authorization, user_agent) = (header("authorization"), header("user-agent"));
    let token = authorization.strip_prefix("Bearer ").unwrap_or_default().to_owned();
    let is_known =
        token == shared.state.borrow().token || accounts::knows(&shared.state.borrow(), &token);
    let query = body["query"].as_str().unwrap_or_default();
    let variables = body["variables"].clone();
    let result = match shared.schema.check(query, &variables) {
        Ok(call) => {
            shared.state.send_modify(|state| {
                state.requests.push(FakeRequest {
                    operation: call.operation.clone(),
                    variables,
                    user_agent,
                    method: request.method().to_string(),
                    path: request.path().to_owned(),
                    headers: headers(&request),
                });
            });
            let is_let_go = |state: &State| state.held.as_ref() != Some(&call.operation);
            let mut states = shared.state.subscribe();
            drop(states.wait_for(is_let_go).await.expect("the state is this server's own"));
            if is_known {
                resolvers::resolve(&shared, &call, &token).await
            } else {
                Err(not_logged_in())
            }
        }
        Err(refusal) => {
            shared.state.send_modify(|state| state.refused += 1);
            Err(refusal.on(shared.personality))
        }
    };
    // Errors travel with status 200, as the platform's plug-in makes them.
    HttpResponse::Ok().json(match result {
        Ok(data) => json!({ "data": data }),
        Err(Refusal { code, message }) => json!({
            "data": null,
            "errors": [{"name": code, "message": message, "extensions": {"code": code}}],
        }),
    })
}

fn headers(request: &HttpRequest) -> BTreeMap<String, String> {
    let text = |value: &actix_web::http::header::HeaderValue| {
        String::from_utf8_lossy(value.as_bytes()).into_owned()
    };
    request.headers().iter().map(|(name, value)| (name.to_string(), text(value))).collect()
}

/// The reason for which an operation was not done.
struct Refusal {
    code: String,
    message: String,
}

impl Refusal {
    fn new(code: &str, message: impl Into<String>) -> Self {
        Self { code: code.to_owned(), message: message.into() }
    }

    /// 6.4 calls bad input by another name.
    fn on(self, personality: Personality) -> Self {
        if personality == Personality::V6_4_0 && self.code == "BAD_USER_INPUT" {
            return Self::new("VALIDATION_ERROR", self.message);
        }
        self
    }
}

fn not_logged_in() -> Refusal {
    Refusal::new("AUTH_REQUIRED", "You must be logged in to do this.")
}
