//! The settings of TLS.

use std::sync::Arc;

use hyper_rustls::ConfigBuilderExt;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

use super::{config::TlsFiles, variables::wrong};
use crate::call::ConfigError;

const ROOTS: &str = "OTEL_EXPORTER_OTLP_CERTIFICATE";
const CLIENT: &str = "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE";
const KEY: &str = "OTEL_EXPORTER_OTLP_CLIENT_KEY";

/// Returns the settings of TLS. Files, also those of the system, are only read if an address asks for TLS.
pub(super) fn client_config(files: &TlsFiles, is_used: bool) -> Result<ClientConfig, ConfigError> {
    // Named, since rustls panics if a process has several to choose from.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| odd("endpoint", "https", error))?;
    let builder = match &files.roots {
        Some(path) if is_used => builder.with_root_certificates(roots(path)?),
        None if is_used => {
            let native = builder.with_native_roots();
            native.map_err(|error| odd("endpoint", "https", error))?
        }
        _ => builder.with_root_certificates(RootCertStore::empty()),
    };
    let Some((certificate, key)) = files.client.as_ref().filter(|_| is_used) else {
        return Ok(builder.with_no_client_auth());
    };
    let private_key = PrivateKeyDer::from_pem_file(key).map_err(|error| odd(KEY, key, error))?;
    builder
        .with_client_auth_cert(certificates(CLIENT, certificate)?, private_key)
        .map_err(|error| odd(CLIENT, certificate, error))
}

fn roots(path: &str) -> Result<RootCertStore, ConfigError> {
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(certificates(ROOTS, path)?);
    match added {
        0 => Err(wrong(ROOTS, path, "a file with certificates in PEM")),
        _ => Ok(roots),
    }
}

fn certificates(
    field: &'static str,
    path: &str,
) -> Result<Vec<CertificateDer<'static>>, ConfigError> {
    let file = CertificateDer::pem_file_iter(path).map_err(|error| odd(field, path, error))?;
    file.collect::<Result<_, _>>()
        .map_err(|error| odd(field, path, error))
}

fn odd(field: &'static str, value: &str, error: impl std::fmt::Display) -> ConfigError {
    wrong(field, value, format!("one that TLS can use ({error})"))
}
