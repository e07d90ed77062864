//! The form of a gRPC code in a file: its name. For `#[serde(with = "crate::call::grpc_code_name")]`.

use std::fmt;

use serde::{
    Deserialize, Deserializer, Serializer,
    de::{self, Visitor},
};

use super::GrpcCode;
use crate::util::text::display_bounded;

/// Longest name that an error shows, in bytes.
const MAX_SHOWN_NAME: usize = 128;

pub(crate) fn serialize<S: Serializer>(code: &GrpcCode, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(code.as_str())
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<GrpcCode, D::Error> {
    from.deserialize_str(NameVisitor)
}

/// A gRPC code that is written by its name, where it stands in a list.
pub(crate) struct GrpcCodeName(pub(crate) GrpcCode);

impl<'de> Deserialize<'de> for GrpcCodeName {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        deserialize(from).map(GrpcCodeName)
    }
}

struct NameVisitor;

impl Visitor<'_> for NameVisitor {
    type Value = GrpcCode;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a gRPC code, such as \"UNAVAILABLE\"")
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<GrpcCode, E> {
        let code = GrpcCode::all().find(|code| code.as_str() == name);
        code.ok_or_else(|| {
            let shown = display_bounded(name, MAX_SHOWN_NAME);
            E::unknown_variant(&shown, &GrpcCode::NAMES)
        })
    }
}
