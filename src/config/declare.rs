//! Declares options: each once, as a field of the settings that it becomes.
//!
//! ```text
//! settings! { PIPELINE "Inside":
//!     /// Between journal and OpenCTI.
//!     #[derive(Debug, Clone)]
//!     pub struct PipelineSettings {
//!         /// The most alerts delivered as one work.
//!         batch: usize = HARFANGLAB_INCIDENTS_BATCH: whole(1, 10_000).default("100");
//!     }
//! }
//! ```
//!
//! The comment is the option's documentation, in the reference and the schema as well as in the code. The
//! field's type says how the text is read ([`Value`]) and whether it may be missing (`Option`) or is a list
//! (`Vec`). `, by parser` behind the declaration reads it with another parser, `field: T = from function;`
//! makes a field of several options, `field: Option<PathBuf> = file of OPTION;` one of the file that a
//! secret came from, `check function(field, …);` calls a function with what was read of these fields, also
//! where others have faults, and `also OPTION: declaration;` declares one that is no field by
//! itself. `PIPELINE` becomes the [`Block`] that `options::BLOCKS` lists; the text behind it is the block's
//! heading in the reference.
//!
//! Does not live here: the parts of a declaration (`option`), finding and noting a text (`reader`).

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use ipnet::IpNet;
use secrecy::SecretString;
use strum::{VariantArray, VariantNames};
use url::Url;

use super::{
    option::OptionSpec,
    parse::{self, Refusal},
    reader::{Read, Reader},
};

/// Options that are declared together.
#[derive(Debug, Clone, Copy)]
pub(super) struct Block {
    /// Their heading in our own section of the reference.
    pub(super) title: &'static str,
    /// In the order of the reference.
    pub(super) options: &'static [&'static OptionSpec],
}

/// A type of one value.
pub(super) trait Value: Sized {
    /// Parses a text within the bounds of the option.
    fn parse(option: &OptionSpec, text: &str) -> Result<Self, Refusal>;
}

/// A type of a field: of a value that must be there, one that may be missing, or several.
pub(super) trait Field: Sized {
    type Item;

    fn read_by(
        reader: &mut Reader<'_>,
        option: &OptionSpec,
        parse: impl Fn(&str) -> Result<Self::Item, Refusal>,
    ) -> Read<Self>;

    fn read(reader: &mut Reader<'_>, option: &OptionSpec) -> Read<Self>
    where
        Self::Item: Value,
    {
        Self::read_by(reader, option, |text| Value::parse(option, text))
    }
}

impl<T: Value> Field for T {
    type Item = T;

    fn read_by(
        reader: &mut Reader<'_>,
        option: &OptionSpec,
        parse: impl Fn(&str) -> Result<T, Refusal>,
    ) -> Read<T> {
        reader.required(option, parse)
    }
}

impl<T> Field for Option<T> {
    type Item = T;

    fn read_by(
        reader: &mut Reader<'_>,
        option: &OptionSpec,
        parse: impl Fn(&str) -> Result<T, Refusal>,
    ) -> Read<Self> {
        reader.optional(option, parse)
    }
}

impl<T> Field for Vec<T> {
    type Item = T;

    fn read_by(
        reader: &mut Reader<'_>,
        option: &OptionSpec,
        parse: impl Fn(&str) -> Result<T, Refusal>,
    ) -> Read<Self> {
        reader.list(option, parse)
    }
}

impl<K: Ord, T> Field for BTreeMap<K, T> {
    type Item = (K, T);

    fn read_by(
        reader: &mut Reader<'_>,
        option: &OptionSpec,
        parse: impl Fn(&str) -> Result<(K, T), Refusal>,
    ) -> Read<Self> {
        reader.list(option, parse).map(|pairs| pairs.into_iter().collect())
    }
}

impl Value for bool {
    fn parse(_option: &OptionSpec, text: &str) -> Result<Self, Refusal> {
        parse::boolean(text)
    }
}

impl Value for f64 {
    fn parse(_option: &OptionSpec, text: &str) -> Result<Self, Refusal> {
        parse::positive(text)
    }
}

impl Value for Duration {
    fn parse(option: &OptionSpec, text: &str) -> Result<Self, Refusal> {
        option.length(text)
    }
}

impl Value for String {
    fn parse(_option: &OptionSpec, text: &str) -> Result<Self, Refusal> {
        Ok(text.to_owned())
    }
}

impl Value for SecretString {
    fn parse(_option: &OptionSpec, text: &str) -> Result<Self, Refusal> {
        Ok(Self::from(text.to_owned()))
    }
}

impl Value for Url {
    fn parse(_option: &OptionSpec, text: &str) -> Result<Self, Refusal> {
        parse::base_url(text)
    }
}

impl Value for SocketAddr {
    fn parse(_option: &OptionSpec, text: &str) -> Result<Self, Refusal> {
        parse::listen_address(text)
    }
}

impl Value for IpNet {
    fn parse(_option: &OptionSpec, text: &str) -> Result<Self, Refusal> {
        parse::network(text)
    }
}

macro_rules! whole_numbers {
    ($($number:ty),+) => {
        $(impl Value for $number {
            fn parse(option: &OptionSpec, text: &str) -> Result<Self, Refusal> {
                option.whole(text)
            }
        })+
    };
}
whole_numbers!(u8, u16, u32, u64, usize);

/// Returns the names that values of an enum are given by.
pub(super) const fn names_of<T: VariantNames>() -> &'static [&'static str] {
    T::VARIANTS
}

/// Parses one of the names of an enum.
pub(super) fn variant<T: VariantNames + VariantArray + Copy>(text: &str) -> Result<T, Refusal> {
    let position = parse::choice(text, <T as VariantNames>::VARIANTS)?;
    Ok(<T as VariantArray>::VARIANTS[position])
}

/// Lets enums be values, each by the names that `strum` gives its variants.
macro_rules! choices {
    ($($choice:ty),+ $(,)?) => {
        $(impl $crate::config::declare::Value for $choice {
            fn parse(
                _option: &$crate::config::option::OptionSpec,
                text: &str,
            ) -> Result<Self, $crate::config::parse::Refusal> {
                $crate::config::declare::variant(text)
            }
        })+
    };
}
pub(super) use choices;

/// Declares settings and their options (see the head of this file).
macro_rules! settings {
    // Everything is sorted into fields, readings and options.
    ($block:ident $title:literal: $(#[$meta:meta])* pub struct $name:ident { $($items:tt)* }) => {
        $crate::config::declare::settings! {
            @sort [$block, $title, $(#[$meta])* $name] [] [] [] [] $($items)*
        }
    };

    // A field that is one option.
    (@sort $head:tt $checks:tt [$($fields:tt)*] [$($readings:tt)*] [$($options:tt)*]
        $(#[doc = $line:literal])* $field:ident: $type:ty = $variable:ident: $spec:expr
            $(, by $parse:expr)?;
        $($rest:tt)*
    ) => {
        $crate::config::declare::settings! { @sort $head $checks
            [$($fields)* { $(#[doc = $line])*
                #[doc = concat!("\n\n`", stringify!($variable), "`")] $field: $type }]
            [$($readings)* { $field $type, option $variable $(, $parse)? }]
            [$($options)* { $variable [$($line)*] $spec }]
            $($rest)*
        }
    };

    // A field that is made of several.
    (@sort $head:tt $checks:tt [$($fields:tt)*] [$($readings:tt)*] $options:tt
        $(#[doc = $line:literal])* $field:ident: $type:ty = from $function:path;
        $($rest:tt)*
    ) => {
        $crate::config::declare::settings! { @sort $head $checks
            [$($fields)* { $(#[doc = $line])* $field: $type }]
            [$($readings)* { $field $type, from $function }]
            $options
            $($rest)*
        }
    };

    // The file that the secrets of an option before it came from.
    (@sort $head:tt $checks:tt [$($fields:tt)*] [$($readings:tt)*] $options:tt
        $(#[doc = $line:literal])* $field:ident: $type:ty = file of $variable:ident;
        $($rest:tt)*
    ) => {
        $crate::config::declare::settings! { @sort $head $checks
            [$($fields)* { $(#[doc = $line])* $field: $type }]
            [$($readings)* { $field $type, file $variable }]
            $options
            $($rest)*
        }
    };

    // An option that is no field by itself.
    (@sort $head:tt $checks:tt $fields:tt $readings:tt [$($options:tt)*]
        $(#[doc = $line:literal])* also $variable:ident: $spec:expr;
        $($rest:tt)*
    ) => {
        $crate::config::declare::settings! { @sort $head $checks $fields $readings
            [$($options)* { $variable [$($line)*] $spec }]
            $($rest)*
        }
    };

    // A rule that ties several fields together.
    (@sort $head:tt [$($checks:tt)*] $fields:tt $readings:tt $options:tt
        check $function:ident($($field:ident),+);
        $($rest:tt)*
    ) => {
        $crate::config::declare::settings! {
            @sort $head [$($checks)* { $function $($field)+ }] $fields $readings $options $($rest)*
        }
    };

    (@sort [$block:ident, $title:literal, $(#[$meta:meta])* $name:ident]
        [$({ $check:ident $($checked:ident)+ })*]
        [$({ $(#[$doc:meta])* $field:ident: $type:ty })*]
        [$({ $read:ident $read_type:ty, $($reading:tt)* })*]
        [$($options:tt)*]
    ) => {
        $(#[$meta])*
        pub struct $name {
            $($(#[$doc])* pub $field: $type,)*
        }

        impl $name {
            /// Reads every option before any result is used, so that all faults are found in one pass.
            pub(in crate::config) fn read(
                reader: &mut $crate::config::reader::Reader<'_>,
            ) -> $crate::config::reader::Read<Self> {
                $(let $read: $crate::config::reader::Read<$read_type> =
                    $crate::config::declare::settings!(@read reader, $read_type, $($reading)*);)*
                $($check(reader, ($(&$checked,)+));)*
                Ok(Self { $($read: $read?,)* })
            }
        }

        $crate::config::declare::options! { $block $title: $($options)* }
    };

    (@read $reader:ident, $type:ty, option $variable:ident) => {
        <$type as $crate::config::declare::Field>::read($reader, &$variable)
    };
    (@read $reader:ident, $type:ty, option $variable:ident, $parse:expr) => {
        <$type as $crate::config::declare::Field>::read_by($reader, &$variable, $parse)
    };
    (@read $reader:ident, $type:ty, file $variable:ident) => {
        Ok($reader.secret_file(&$variable))
    };
    (@read $reader:ident, $type:ty, from $function:path) => {
        $function($reader)
    };
}
pub(super) use settings;

/// Declares options that are no fields, and the block of them.
macro_rules! options {
    ($block:ident $title:literal: $($(#[doc = $line:literal])* also $variable:ident: $spec:expr;)+) => {
        $crate::config::declare::options! { $block $title: $({ $variable [$($line)*] $spec })+ }
    };

    ($block:ident $title:literal: $({ $variable:ident [$($line:literal)*] $spec:expr })+) => {
        $(
            pub(in crate::config) const $variable: $crate::config::option::OptionSpec = {
                const NAME: &str = stringify!($variable);
                const KEY: [u8; $crate::config::option::key_length(NAME)] =
                    $crate::config::option::key_of(NAME);
                const KEY_TEXT: &str = match str::from_utf8(&KEY) {
                    Ok(key) => key,
                    Err(_) => "",
                };
                $spec.named(NAME, KEY_TEXT, &[$($line),*])
            };
        )+

        pub(in crate::config) const $block: $crate::config::declare::Block =
            $crate::config::declare::Block { title: $title, options: &[$(&$variable),+] };
    };
}
pub(super) use options;
