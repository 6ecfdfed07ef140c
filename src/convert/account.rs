//! User accounts: of the process, and of sessions and event logs.

use super::{draft::Draft, markdown};
use crate::{
    alert::User,
    config::AccountIdentity,
    stix::{clean, object::UserAccount},
};

/// Well-known SIDs, and whose they are on every Windows.
const WELL_KNOWN: [(&str, &str); 13] = [
    ("S-1-1-0", "Everyone"),
    ("S-1-5-7", "Anonymous logon"),
    ("S-1-5-11", "Authenticated users"),
    ("S-1-5-18", "Local System, the operating system itself"),
    ("S-1-5-19", "Local Service"),
    ("S-1-5-20", "Network Service"),
    ("S-1-5-32-544", "Administrators (group)"),
    ("S-1-5-32-545", "Users (group)"),
    ("S-1-5-32-546", "Guests (group)"),
    ("S-1-5-32-551", "Backup operators (group)"),
    ("S-1-5-32-555", "Remote desktop users (group)"),
    ("S-1-5-32-568", "IIS users (group)"),
    ("S-1-5-113", "Local accounts (group)"),
];

/// Names that the operating system gives the same accounts, where an alert tells no SID.
const WELL_KNOWN_NAMES: [(&str, &str); 7] = [
    ("SYSTEM", "S-1-5-18"),
    ("SYSTÈME", "S-1-5-18"),
    ("LOCAL SERVICE", "S-1-5-19"),
    ("SERVICE LOCAL", "S-1-5-19"),
    ("NETWORK SERVICE", "S-1-5-20"),
    ("SERVICE RÉSEAU", "S-1-5-20"),
    ("ANONYMOUS LOGON", "S-1-5-7"),
];

/// The domain of those accounts, in English, French and German.
const SYSTEM_DOMAINS: [&str; 3] = ["NT AUTHORITY", "AUTORITE NT", "NT-AUTORITÄT"];

/// Kinds of accounts by the beginning of their SIDs.
const FAMILIES: [(&str, &str); 6] = [
    ("S-1-5-80-", "Virtual account of a Windows service"),
    ("S-1-5-82-", "Virtual account of an IIS application pool"),
    ("S-1-5-83-", "Virtual account of a virtual machine"),
    ("S-1-5-90-", "Window manager"),
    ("S-1-5-96-", "Font driver host"),
    ("S-1-12-1-", "Microsoft Entra ID account"),
];

/// Accounts that every machine or domain has under the same last part of the SID.
const BUILT_IN: [(&str, &str); 4] = [
    ("500", "built-in Administrator"),
    ("501", "built-in Guest"),
    ("502", "krbtgt, the domain's key distribution account"),
    ("503", "default account"),
];

/// Names of accounts that every Unix or Windows has, where an alert tells no SID or uid.
const BUILT_IN_NAMES: [&str; 3] = ["root", "administrator", "administrateur"];

/// A user as the alert names it, taken apart.
struct Named {
    login: String,
    domain: String,
    /// The login without its domain.
    name: String,
    sid: String,
}

impl Named {
    /// Reads a user; `None` when it has no name. `-` is how Windows event logs write that there is none.
    fn of(user: &User) -> Option<Self> {
        let cleaned = |text: &Option<String>| text.as_deref().map(clean::line).unwrap_or_default();
        let login = cleaned(&user.name);
        if login.is_empty() || login == "-" {
            return None;
        }
        let (login_domain, name) = login.rsplit_once('\\').unwrap_or(("", &login));
        let domain = match cleaned(&user.domain) {
            domain if domain.is_empty() => login_domain.to_owned(),
            domain => domain,
        };
        let name = name.to_owned();
        Some(Self { login, domain, name, sid: cleaned(&user.sid) })
    }

    /// Returns whether unrelated machines have this account.
    fn is_built_in(&self) -> bool {
        let sid = self.sid.to_uppercase();
        if sid == "0"
            || FAMILIES
                .iter()
                .any(|(start, kind)| sid.starts_with(start) && !kind.contains("Entra"))
        {
            return true;
        }
        if sid.starts_with("S-1-5-21-") {
            let last = sid.rsplit('-').next();
            return BUILT_IN.iter().any(|(number, _)| last == Some(number));
        }
        let name = self.name.to_lowercase();
        WELL_KNOWN.iter().any(|(known, _)| *known == sid)
            || !is_sid(&sid) && BUILT_IN_NAMES.contains(&name.as_str())
            || WELL_KNOWN_NAMES.iter().any(|(known, _)| known.to_lowercase() == name)
    }
}

/// Returns whether unrelated machines have an account of this name or SID.
pub(super) fn is_built_in(user: &User) -> bool {
    Named::of(user).is_some_and(|named| named.is_built_in())
}

/// Adds a user account, related to the incident as `role`, and answers its id; `None` when the user has
/// no name.
pub(super) fn add_account(
    user: &User,
    role: Option<&str>,
    identity: AccountIdentity,
    draft: &mut Draft,
) -> Option<String> {
    let named = Named::of(user)?;
    let is_built_in = named.is_built_in();
    let Named { login, domain, name, sid } = named;
    let lines: Vec<String> =
        [("Domain", domain.as_str()), ("SID", &sid), ("Kind", &kind(&domain, &name, &sid))]
            .into_iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, value)| format!("{name}: {}", markdown::value(value)))
            .collect();
    // Only what is really a SID or uid may identify; some consoles repeat the name there.
    let account_type = account_type(&domain, &sid).filter(|_| identity == AccountIdentity::Sid);
    let id = draft.observable(&UserAccount {
        display_name: (!name.is_empty()).then_some(name),
        x_opencti_description: (!lines.is_empty()).then(|| lines.join("\n\n")),
        account_login: login.clone(),
        user_id: account_type.map(|_| sid),
        account_type,
    })?;
    if let Some(role) = role {
        draft.relate_to_incident(&id, role, &login);
    }
    if is_built_in {
        draft.keep_out_of_cases(&id);
    }
    Some(id)
}

/// Returns the kind of account, in words.
fn kind(domain: &str, name: &str, sid: &str) -> String {
    if sid.is_empty() && SYSTEM_DOMAINS.contains(&domain.to_uppercase().as_str()) {
        let name = name.to_uppercase();
        let known = WELL_KNOWN_NAMES.iter().find(|(known, _)| *known == name);
        return known.map(|(_, sid)| kind(domain, &name, sid)).unwrap_or_default();
    }
    if sid == "0" {
        return "Unix superuser".to_owned();
    }
    if is_uid(sid) {
        return "Unix account".to_owned();
    }
    let upper = sid.to_uppercase();
    if let Some((_, meaning)) = WELL_KNOWN.iter().find(|(known, _)| *known == upper) {
        return (*meaning).to_owned();
    }
    if let Some((_, meaning)) = FAMILIES.iter().find(|(start, _)| upper.starts_with(start)) {
        return (*meaning).to_owned();
    }
    if !is_sid(sid) {
        return String::new();
    }
    let plain =
        if domain.is_empty() { "Windows account" } else { "Windows domain or local account" };
    let last = upper.strip_prefix("S-1-5-21-").and_then(|rest| rest.rsplit('-').next());
    match BUILT_IN.iter().find(|(number, _)| last == Some(number)) {
        Some((_, meaning)) => format!("{plain}, {meaning}"),
        None => plain.to_owned(),
    }
}

/// STIX's word for it; `None` when the text is neither a SID nor a uid.
fn account_type(domain: &str, sid: &str) -> Option<&'static str> {
    if is_uid(sid) {
        return Some("unix");
    }
    let of_domain = sid.to_uppercase().starts_with("S-1-5-21-") && !domain.is_empty();
    is_sid(sid).then_some(if of_domain { "windows-domain" } else { "windows-local" })
}

fn is_uid(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_sid(text: &str) -> bool {
    let numbers = text.strip_prefix("S-1-").or_else(|| text.strip_prefix("s-1-"));
    numbers.is_some_and(|numbers| numbers.split('-').all(is_uid))
}
