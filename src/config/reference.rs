//! The documents that are made of the declared options: the commented reference, which `config reference`
//! prints as a `config.yml` to start from, and the table of the README.

use std::fmt::Write as _;

use super::{
    option::{OUR_SECTION, OptionSpec, SECTIONS, Scope, Standing},
    options::{self, BLOCKS},
    yaml::scalar,
};

/// Longest line of the reference, in characters.
const WIDTH: usize = 100;

const HEAD: &str = "\
# The configuration of harfanglab-incidents, with every option, what it means and its default.
#
# Each option can be given here or by the environment variable named beside it; the environment
# wins. An option that is left out, or empty, has the default that stands here; one that stands
# behind a `#` has none. Only the lines with ChangeMe and the two addresses must be set.
#
# A secret can also be read from a file: OPENCTI_TOKEN_FILE=/run/secrets/opencti names one, and so
# does `token_file:` here. Lists are separated by commas, or written as YAML lists. Switches are
# true or false (also yes/no, on/off, 1/0). Durations are ISO-8601: PT30S, PT5M, PT1H, P1D.
#
# Where this file is: --config, else HARFANGLAB_INCIDENTS_CONFIG, else ./config.yml if there is one.
# `harfanglab-incidents config` prints what is in effect and where each value came from;
# `harfanglab-incidents check` tries it out.
";

const CONSOLES: &str = "\
# Several consoles, in place of the one that harfanglab_incidents describes. Each has its own client,
# caches, limits, cursors and endpoint, and is told apart by its name in logs, metrics and commands.
# consoles:
# - name: paris                 # required: small letters, digits, - and _
#   url: https://paris.example  # required, and no other console's
#   token_file: /run/secrets/paris-token              # or token:
#   webhook_secret_file: /run/secrets/paris-webhook   # or webhook_secret:; none: no posts
#   webhook_path: /webhooks/paris                     # this is the default
#   author: HarfangLab Paris    # default: connector.name
#   default_marking: TLP:AMBER
# - name: lyon
#   url: https://lyon.example
#   token_file: /run/secrets/lyon-token
#
";

/// Returns every option with its meaning and default, as a `config.yml`.
pub fn reference() -> String {
    let mut text = HEAD.to_owned();
    for (section, comment) in SECTIONS {
        text.push('\n');
        push_comment(&mut text, "", comment);
        push_line(&mut text, &format!("{section}:"));
        for block in &BLOCKS {
            let mut options = block.options.iter().filter(|option| is_shown(option, section));
            if section == OUR_SECTION && !block.title.is_empty() && options.clone().next().is_some()
            {
                push_line(
                    &mut text,
                    &format!("\n  # --- {} {:-<2$}\n", block.title, "", {
                        WIDTH.saturating_sub(block.title.chars().count() + 9)
                    }),
                );
            }
            options.by_ref().for_each(|option| push_option(&mut text, option));
        }
    }
    text.push('\n');
    text.push_str(CONSOLES);
    let inherited = options::of_service_and_console()
        .filter(|option| option.scope == Scope::Inherited)
        .map(|option| option.key);
    let inherited = inherited.collect::<Vec<_>>().join(", ");
    let words = format!(
        "Besides these an entry takes any of {inherited}. One that it leaves out it has from the \
         environment or from harfanglab_incidents. Address, token, secret and path are never inherited: \
         with `consoles:` they may not be given elsewhere."
    );
    push_comment(&mut text, "", &words);
    text
}

/// Returns the rows of the README's table of options, a line each.
pub fn table() -> String {
    let mut text = String::new();
    for option in options::all() {
        let Some((missing, words)) = option.row else { continue };
        let default = match option.default {
            Some(default) => format!("`{default}`"),
            None if option.placeholder.is_some() => "required".to_owned(),
            None => missing.to_owned(),
        };
        push_line(&mut text, &format!("| `{}` | {default} | {words} |", option.variable));
    }
    text
}

fn is_shown(option: &OptionSpec, section: &str) -> bool {
    option.section == section && option.standing != Standing::WithoutEffect
}

fn push_option(text: &mut String, option: &OptionSpec) {
    let mut words = option.variable.to_owned();
    if option.kind.is_secret() {
        words = format!("{words} (or {words}_FILE)");
    }
    if option.placeholder.is_some() {
        words.push_str(", required");
    }
    if !option.documentation.is_empty() {
        words = format!("{words}: {}", option.words());
    }
    push_comment(text, "  ", &words);
    let line = match option.placeholder.or(option.default) {
        Some(value) => format!("  {}: {}", option.key, scalar(value)),
        None => format!("  #{}:", option.key),
    };
    push_line(text, &line);
}

/// Wraps `words` into lines of a comment.
fn push_comment(text: &mut String, indent: &str, words: &str) {
    let mut line = format!("{indent}#");
    for word in words.split_whitespace() {
        if line.chars().count() + 1 + word.chars().count() > WIDTH {
            push_line(text, &line);
            line = format!("{indent}#");
        }
        line.push(' ');
        line.push_str(word);
    }
    push_line(text, &line);
}

fn push_line(text: &mut String, line: &str) {
    // Writing to a string cannot fail.
    let _cannot_fail = writeln!(text, "{line}");
}
