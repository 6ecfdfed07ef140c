//! The real RabbitMQ that tests publish to and read from, given by
//! `HARFANGLAB_INCIDENTS_TEST_AMQP_URL`. Tests share it: each uses a connector id of its own.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use futures_util::StreamExt;
use lapin::{
    BasicProperties, Channel, Connection, ConnectionProperties, ExchangeKind,
    options::{
        BasicAckOptions, BasicConsumeOptions, BasicQosOptions, ExchangeDeclareOptions,
        QueueBindOptions, QueueDeclareOptions, QueueDeleteOptions, QueuePurgeOptions,
    },
    types::FieldTable,
    uri::AMQPUri,
};
use serde_json::Value;
use tokio::sync::Mutex;

use super::app::patience;

/// Exchange that OpenCTI binds every connector's push queue to.
pub(crate) const PUSH_EXCHANGE: &str = "amqp.worker.exchange";

/// Longest wait for a channel.
const OPENING_TIMEOUT: Duration = Duration::from_secs(5);
/// A message as it was found on a queue.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) properties: BasicProperties,
    pub(crate) routing_key: String,
    /// The JSON body.
    pub(crate) body: Value,
    /// The bundle inside `content`.
    pub(crate) bundle: Value,
}

/// A connection to the test's RabbitMQ.
pub(crate) struct Broker {
    pub(crate) uri: AMQPUri,
    connection: Mutex<Connection>,
}

impl Broker {
    pub(crate) async fn connect() -> Self {
        let url = std::env::var("HARFANGLAB_INCIDENTS_TEST_AMQP_URL").expect(
            "HARFANGLAB_INCIDENTS_TEST_AMQP_URL is not set: run the tests by scripts/test.sh, \
             which starts a RabbitMQ for them",
        );
        Self::connect_to(&url).await
    }

    /// To the broker of this URL instead.
    pub(crate) async fn connect_to(url: &str) -> Self {
        let uri: AMQPUri = url.parse().expect("it is an AMQP URL");
        let connection = open(&uri).await.expect("RabbitMQ can be reached there");
        Self { uri, connection: Mutex::new(connection) }
    }

    async fn channel(&self) -> Channel {
        self.channel_if_up().await.unwrap()
    }

    /// On a new connection when the old one is gone.
    async fn channel_if_up(&self) -> lapin::Result<Channel> {
        let opening = async {
            let mut connection = self.connection.lock().await;
            if !connection.status().connected() {
                *connection = open(&self.uri).await?;
            }
            connection.create_channel().await
        };
        // A broker that dies in the middle of this says nothing more.
        let in_time = tokio::time::timeout(OPENING_TIMEOUT, opening).await;
        in_time.unwrap_or_else(|_| Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()))
    }

    /// Declares what the platform declares at registration and at every heartbeat: exchange, queue, binding.
    pub(crate) async fn declare_push_queue(&self, connector_id: &str) {
        self.try_to_declare_push_queue(connector_id).await.unwrap();
    }

    /// The same on a broker that may be away.
    pub(crate) async fn try_to_declare_push_queue(&self, connector_id: &str) -> lapin::Result<()> {
        let channel = self.channel_if_up().await?;
        let durable_exchange =
            ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
        let none = FieldTable::default;
        channel
            .exchange_declare(PUSH_EXCHANGE.into(), ExchangeKind::Direct, durable_exchange, none())
            .await?;
        let queue = push_queue(connector_id);
        let durable_queue = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        channel.queue_declare(queue.as_str().into(), durable_queue, none()).await?;
        channel
            .queue_bind(
                queue.as_str().into(),
                PUSH_EXCHANGE.into(),
                push_routing(connector_id).as_str().into(),
                QueueBindOptions::default(),
                none(),
            )
            .await
    }

    pub(crate) async fn delete_queue(&self, queue: &str) {
        let options = QueueDeleteOptions::default();
        self.channel().await.queue_delete(queue.into(), options).await.unwrap();
    }

    pub(crate) async fn purge_queue(&self, queue: &str) {
        let options = QueuePurgeOptions::default();
        self.channel().await.queue_purge(queue.into(), options).await.unwrap();
    }

    /// Returns how many messages wait on a queue.
    pub(crate) async fn depth(&self, queue: &str) -> u32 {
        let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let channel = self.channel().await;
        let queue = channel.queue_declare(queue.into(), passive, FieldTable::default()).await;
        queue.expect("the queue exists").message_count()
    }

    /// Takes messages off a queue for ever, as OpenCTI's worker does, and counts them.
    pub(crate) async fn count_off(self: Arc<Self>, queue: String, count: Arc<AtomicU64>) {
        let channel = self.channel().await;
        channel.basic_qos(100, BasicQosOptions::default()).await.unwrap();
        let (options, none) = (BasicConsumeOptions::default(), FieldTable::default());
        let consuming =
            channel.basic_consume(queue.as_str().into(), "worker".into(), options, none);
        let mut consumer = consuming.await.unwrap();
        while let Some(Ok(delivery)) = consumer.next().await {
            delivery.ack(BasicAckOptions::default()).await.unwrap();
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Takes everything off a queue that nobody publishes to any more, message by message.
    pub(crate) async fn drain(&self, queue: &str, mut take: impl FnMut(Message)) {
        let mut left = self.depth(queue).await;
        while left > 0 {
            let count = u16::try_from(left.min(2_000)).unwrap();
            self.messages(queue, count).await.into_iter().for_each(&mut take);
            left -= u32::from(count);
        }
    }

    /// Takes messages off a queue, in order, until one of them is the last one wanted.
    pub(crate) async fn messages_until(
        &self,
        queue: &str,
        mut is_last: impl FnMut(&Message) -> bool,
    ) -> Vec<Message> {
        let channel = self.channel().await;
        let (options, none) = (BasicConsumeOptions::default(), FieldTable::default());
        let consuming = channel.basic_consume(queue.into(), "test".into(), options, none);
        let mut consumer = consuming.await.unwrap();
        let mut messages = Vec::new();
        let reading = async {
            loop {
                let delivery = consumer.next().await.expect("the queue exists").unwrap();
                delivery.ack(BasicAckOptions::default()).await.unwrap();
                messages.push(decode(&delivery));
                if messages.last().is_some_and(&mut is_last) {
                    return;
                }
            }
        };
        let in_time = tokio::time::timeout(patience(), reading).await.is_ok();
        assert!(in_time, "the last message never came after {} on {queue}", messages.len());
        channel.close(200, "done".into()).await.unwrap();
        messages
    }

    /// Takes everything off a queue to which nothing more comes, and answers the objects in it.
    pub(crate) async fn objects(&self, queue: &str) -> Vec<Value> {
        let mut objects = Vec::new();
        self.drain(queue, |message| objects.push(message.bundle["objects"][0].clone())).await;
        objects
    }

    /// Takes exactly `count` messages off a queue, in order; what is behind them stays.
    pub(crate) async fn messages(&self, queue: &str, count: u16) -> Vec<Message> {
        let channel = self.channel().await;
        // Unacknowledged until the end, so that the broker hands out no more than asked for.
        channel.basic_qos(count, BasicQosOptions::default()).await.unwrap();
        let mut consumer = channel
            .basic_consume(
                queue.into(),
                "test".into(),
                BasicConsumeOptions::default(),
                FieldTable::default(),
            )
            .await
            .unwrap();
        let mut messages = Vec::new();
        let reading = async {
            while messages.len() < usize::from(count) {
                let delivery = consumer.next().await.expect("the queue exists").unwrap();
                messages.push(decode(&delivery));
                if messages.len() == usize::from(count) {
                    delivery.ack(BasicAckOptions { multiple: true }).await.unwrap();
                }
            }
        };
        let in_time = tokio::time::timeout(patience(), reading).await.is_ok();
        assert!(in_time, "only {} of {count} messages came to {queue}", messages.len());
        channel.close(200, "done".into()).await.unwrap();
        messages
    }
}

async fn open(uri: &AMQPUri) -> lapin::Result<Connection> {
    Connection::connect_uri(uri.clone(), ConnectionProperties::default()).await
}

/// Name of a connector's queue.
pub(crate) fn push_queue(connector_id: &str) -> String {
    format!("push_{connector_id}")
}

/// Routing key to a connector's queue.
pub(crate) fn push_routing(connector_id: &str) -> String {
    format!("push_routing_{connector_id}")
}

fn decode(delivery: &lapin::message::Delivery) -> Message {
    let body: Value = serde_json::from_slice(&delivery.data).expect("the body is JSON");
    let content = body["content"].as_str().expect("`content` is a text");
    let bundle = STANDARD.decode(content).expect("`content` is base64");
    Message {
        properties: delivery.properties.clone(),
        routing_key: delivery.routing_key.to_string(),
        bundle: serde_json::from_slice(&bundle).expect("`content` holds JSON"),
        body,
    }
}

/// An id that no other test uses: they share the broker.
#[expect(clippy::disallowed_methods, reason = "tests share one broker and run in parallel")]
pub(crate) fn fresh_connector_id() -> String {
    uuid::Uuid::new_v4().to_string()
}
