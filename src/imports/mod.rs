//! Imports: files of contacts.

mod decode;
mod headers;
pub mod mapping;
pub mod read;
