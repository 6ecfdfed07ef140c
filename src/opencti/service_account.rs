//! A user of our own in OpenCTI (`CONNECTOR_AUTO_CREATE_SERVICE_ACCOUNT`): with an administrator's
//! token it is found or made, in the group "Connectors", and everything else is then sent with its
//! own token. Name, e-mail address and token are called as other connectors call them, so that one
//! that was in our place before shares the account with us.
//!
//! From 7.260224.0 on a token can be read only when it is made, so each start makes a new one and
//! revokes the one before. When the token is refused later, it is made again. Who only wants to know
//! looks, and makes nothing.
//!
//! Does not live here: whose token a request carries (`client`).

use secrecy::SecretString;
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use super::{
    error::OpenCtiError,
    graphql::GraphQl,
    hidden::secret,
    operations::{
        FIND_GROUP, FIND_USER, FIND_USER_ONE_TOKEN, USER_ADD, USER_TOKEN_ADD, USER_TOKEN_REVOKE,
    },
    platform::Feature,
};

/// The group whose rights a connector needs; OpenCTI has it from the start.
const GROUP: &str = "Connectors";

/// The name of its token.
const TOKEN_NAME: &str = "Connector auto generated token";

/// The account that is wanted.
#[derive(Debug, Clone)]
pub struct ServiceAccount {
    /// The connector's name, which the account carries.
    pub connector_name: String,
    /// The highest confidence, 0–100, of what it imports.
    pub max_confidence: u8,
}

impl ServiceAccount {
    /// Returns the name of the account.
    pub fn user_name(&self) -> String {
        format!("[C] {}", self.connector_name)
    }

    /// The address that identifies the account. Nobody reads what is sent there.
    fn email(&self) -> String {
        let plain = |character: char| {
            let stays = character.is_ascii_alphanumeric() || "._+-".contains(character);
            if stays { character } else { '-' }
        };
        let name: String = self.connector_name.to_lowercase().chars().map(plain).collect();
        let words: Vec<&str> = name.split('-').filter(|word| !word.is_empty()).collect();
        format!("{}@connector.octi.filigran.io", words.join("-"))
    }
}

/// The state of an account before anything is made.
#[derive(Debug)]
pub enum AccountStanding {
    /// It is there, with a token that can be read; older platforms.
    Readable(SecretString),
    /// It is there; its next use makes it a token and revokes the one before.
    There,
    /// It is made when it is first used.
    Missing,
}

#[derive(Deserialize)]
struct Found<T> {
    #[serde(alias = "groups", alias = "users")]
    found: Edges<T>,
}

#[derive(Deserialize)]
struct Edges<T> {
    edges: Vec<Edge<T>>,
}

#[derive(Deserialize)]
struct Edge<T> {
    node: T,
}

impl<T> Found<T> {
    fn first(self) -> Option<T> {
        self.found.edges.into_iter().next().map(|edge| edge.node)
    }
}

#[derive(Deserialize)]
struct Group {
    id: String,
}

#[derive(Deserialize)]
struct User {
    id: String,
    /// Up to 6.9: the one token.
    #[serde(default, deserialize_with = "given")]
    api_token: Option<SecretString>,
    /// From 7.260224.0 on.
    #[serde(default)]
    api_tokens: Vec<Token>,
}

/// A token that is there.
fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SecretString>, D::Error> {
    secret(deserializer).map(Some)
}

#[derive(Deserialize)]
struct Token {
    id: String,
    name: String,
}

#[derive(Deserialize)]
struct TokenAdded {
    #[serde(rename = "userAdminTokenAdd")]
    token: NewToken,
}

#[derive(Deserialize)]
struct NewToken {
    #[serde(deserialize_with = "secret")]
    plaintext_token: SecretString,
}

/// Looks what is there of an account and changes nothing; see [`OpenCti::look_for_account`].
///
/// [`OpenCti::look_for_account`]: super::OpenCti::look_for_account
pub(super) async fn look(
    platform: &GraphQl,
    account: &ServiceAccount,
) -> Result<AccountStanding, OpenCtiError> {
    let looking = async {
        Ok(match find_user(platform, account).await? {
            Some(User { api_token: Some(token), .. }) => AccountStanding::Readable(token),
            Some(_) => AccountStanding::There,
            None => {
                group(platform).await?;
                AccountStanding::Missing
            }
        })
    };
    looking.await.map_err(in_words)
}

/// Finds or makes the account, with the configured (the administrator's) token; answers a token of
/// the account.
pub(super) async fn token(
    platform: &GraphQl,
    account: &ServiceAccount,
) -> Result<SecretString, OpenCtiError> {
    obtain(platform, account).await.map_err(in_words)
}

fn in_words(error: OpenCtiError) -> OpenCtiError {
    match error {
        OpenCtiError::Forbidden { message, .. } => cannot(&format!(
            "OPENCTI_TOKEN is not that of an administrator ({message}): it must be for this"
        )),
        error => error,
    }
}

async fn obtain(
    platform: &GraphQl,
    account: &ServiceAccount,
) -> Result<SecretString, OpenCtiError> {
    let user = if let Some(user) = find_user(platform, account).await? {
        user
    } else {
        add_user(platform, account).await?;
        find_user(platform, account).await?.ok_or_else(|| cannot("its user is not shown"))?
    };
    if let Some(token) = user.api_token {
        return Ok(token);
    }
    for old in user.api_tokens.iter().filter(|token| token.name == TOKEN_NAME) {
        let variables = json!({"userId": user.id, "id": old.id});
        platform.send::<Value>(&USER_TOKEN_REVOKE, variables, None).await?;
    }
    let variables =
        json!({"userId": user.id, "input": {"name": TOKEN_NAME, "duration": "UNLIMITED"}});
    let added: TokenAdded = platform.send(&USER_TOKEN_ADD, variables, None).await?;
    Ok(added.token.plaintext_token)
}

/// The group that the account needs.
async fn group(platform: &GraphQl) -> Result<String, OpenCtiError> {
    let found: Found<Group> = platform.send(&FIND_GROUP, filters("name", GROUP), None).await?;
    let group = found.first().ok_or_else(|| cannot("OpenCTI has no group \"Connectors\""))?;
    Ok(group.id)
}

async fn find_user(
    platform: &GraphQl,
    account: &ServiceAccount,
) -> Result<Option<User>, OpenCtiError> {
    let many = platform.has(Feature::ManyTokens);
    let operation = if many { &FIND_USER } else { &FIND_USER_ONE_TOKEN };
    let filters = filters("user_email", &account.email());
    Ok(platform.send::<Found<User>>(operation, filters, None).await?.first())
}

async fn add_user(platform: &GraphQl, account: &ServiceAccount) -> Result<(), OpenCtiError> {
    let group = group(platform).await?;
    let input = json!({
        "name": account.user_name(),
        "user_email": account.email(),
        "password": password(),
        "groups": [group],
        "user_confidence_level": {"max_confidence": account.max_confidence, "overrides": []},
        "user_service_account": true,
    });
    platform.send::<Value>(&USER_ADD, json!({"input": input}), None).await?;
    tracing::info!(name = account.connector_name, "made a service account in OpenCTI");
    Ok(())
}

fn filters(key: &str, value: &str) -> Value {
    let filter = json!({"key": [key], "values": [value]});
    json!({"filters": {"mode": "and", "filters": [filter], "filterGroups": []}})
}

fn cannot(reason: &str) -> OpenCtiError {
    OpenCtiError::ServiceAccount(reason.to_owned())
}

/// One that nobody ever learns: the account logs in by its token.
#[expect(clippy::disallowed_methods, reason = "a password must not be guessable")]
fn password() -> String {
    format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_the_one_that_other_connectors_make_of_the_name() {
        for (name, expected) in [
            ("HarfangLab", "harfanglab"),
            ("HarfangLab Incidents", "harfanglab-incidents"),
            (" EDR (é) 1.2!", "edr-1.2"),
        ] {
            let account = ServiceAccount { connector_name: name.to_owned(), max_confidence: 50 };
            assert_eq!(account.email(), format!("{expected}@connector.octi.filigran.io"));
        }
    }
}
