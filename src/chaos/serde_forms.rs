//! The forms of settings in a file, where they differ from those in code.

/// gRPC codes by their names.
pub(super) mod grpc_code {
    use std::fmt;

    use serde::{Deserializer, Serializer, de};

    use crate::{call::GrpcCode, util::text::display_bounded};

    /// Longest name that an error shows, in bytes.
    const MAX_SHOWN_NAME: usize = 128;

    pub(in super::super) fn serialize<S: Serializer>(
        code: &GrpcCode,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.serialize_str(code.as_str())
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<GrpcCode, D::Error> {
        from.deserialize_str(CodeVisitor)
    }

    struct CodeVisitor;

    impl de::Visitor<'_> for CodeVisitor {
        type Value = GrpcCode;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("the name of a gRPC code, such as UNAVAILABLE")
        }

        fn visit_str<E: de::Error>(self, name: &str) -> Result<GrpcCode, E> {
            let mut all = GrpcCode::all();
            all.find(|code| code.as_str() == name).ok_or_else(|| {
                let shown = display_bounded(name, MAX_SHOWN_NAME);
                E::invalid_value(de::Unexpected::Str(&String::from(shown)), &self)
            })
        }
    }
}
