//! The derive macros of Stormfire. Use them through the crate `stormfire`.

mod cast_batch;
mod input;
mod merge;
mod split_batch;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

/// Implements `stormfire::metrics::Merge` for a struct, the state of a metric: each field has a rule for joining two
/// values.
///
/// `#[merge(sum)]`, `#[merge(max)]` and `#[merge(min)]` join numbers (`Scalar`, `f64`, `Array`), `#[merge(cat)]` keeps
/// all rows (`Rows`). A field with `#[merge(same)]` is an option, which must be equal in both. A field without an
/// attribute has its own rule. `#[merge(crate = stormfire_metrics)]` above the struct names the crate to use, for a
/// program that does not depend on `stormfire`.
#[proc_macro_derive(Merge, attributes(merge))]
pub fn derive_merge(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    merge::expand(&input).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Implements `stormfire::SplitBatch` for a struct: each field is divided, and all have the same number of items.
///
/// A field with `#[split(items)]` is a `Vec` with one element per item. A field with `#[split(clone)]` is the same in
/// every part. `#[split(crate = stormfire_data)]` above the struct names the crate to use, for a program that does not
/// depend on `stormfire`.
#[proc_macro_derive(SplitBatch, attributes(split))]
pub fn derive_split_batch(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    split_batch::expand(&input).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Implements `stormfire::CastBatch` for a struct: the float tensors in each field are cast.
///
/// A field with `#[cast(skip)]` stays as it is. `#[cast(crate = stormfire_data)]` above the struct names the crate to
/// use, for a program that does not depend on `stormfire`.
#[proc_macro_derive(CastBatch, attributes(cast))]
pub fn derive_cast_batch(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    cast_batch::expand(&input).unwrap_or_else(syn::Error::into_compile_error).into()
}
