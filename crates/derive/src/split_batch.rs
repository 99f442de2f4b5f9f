//! `#[derive(SplitBatch)]`.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::{Data, DeriveInput, Field, Fields, Member, Result, parse_quote, spanned::Spanned};

use crate::input::{each_word, home, members, text};

/// How a field is divided.
#[derive(Clone, Copy, PartialEq, Eq)]
enum How {
    /// As a batch itself.
    Batch,
    /// As a list of items.
    Items,
    /// Not at all: it is the same in every part.
    Clone,
}

/// A field, how it is reached, and how it is divided.
struct Split<'a> {
    field: &'a Field,
    member: Member,
    how: How,
}

pub(crate) fn expand(input: &DeriveInput) -> Result<TokenStream> {
    let Data::Struct(data) = &input.data else {
        let name = &input.ident;
        return Err(syn::Error::new(name.span(), "`SplitBatch` can be derived for structs only: implement the trait manually"));
    };
    let home = home(input, "split", parse_quote!(::stormfire::data), "`clone` and `items` belong")?;
    let fields = splits(&data.fields)?;
    let divided: Vec<_> = fields.iter().filter(|split| split.how != How::Clone).collect();
    if divided.is_empty() {
        let reason = "no field of this batch has items: a batch needs one without `#[split(clone)]`";
        return Err(syn::Error::new(input.ident.span(), reason));
    }
    let counts = divided.iter().map(|split| {
        let (member, name) = (&split.member, text(&split.member));
        if split.how == How::Items {
            quote!((#name, ::core::option::Option::Some(self.#member.len())))
        } else {
            quote_spanned!(split.field.ty.span()=> (#name, #home::SplitBatch::items(&self.#member)?))
        }
    });
    let parts = fields.iter().map(|split| {
        let member = &split.member;
        match split.how {
            How::Clone => quote!(#member: ::core::clone::Clone::clone(&self.#member)),
            How::Items => quote_spanned!(split.field.ty.span()=> #member: #home::items_of(&self.#member, start, end)),
            How::Batch => quote_spanned!(split.field.ty.span()=> #member: #home::SplitBatch::slice(&self.#member, start, end)),
        }
    });
    let name = &input.ident;
    let mut generics = input.generics.clone();
    if !generics.params.is_empty() {
        let bounds = generics.make_where_clause();
        for split in divided.iter().filter(|split| split.how == How::Batch) {
            let ty = &split.field.ty;
            bounds.predicates.push(parse_quote!(#ty: #home::SplitBatch));
        }
        bounds.predicates.push(parse_quote!(Self: ::core::clone::Clone));
    }
    let (of_impl, of_type, bounds) = generics.split_for_impl();
    Ok(quote! {
        #[automatically_derived]
        impl #of_impl #home::SplitBatch for #name #of_type #bounds {
            fn items(&self) -> ::core::result::Result<::core::option::Option<usize>, #home::Error> {
                #home::common_items([#(#counts),*])
            }

            fn slice(&self, start: usize, end: usize) -> Self {
                Self { #(#parts),* }
            }
        }
    })
}

fn splits(fields: &Fields) -> Result<Vec<Split<'_>>> {
    fields.iter().zip(members(fields)).map(|(field, member)| Ok(Split { field, member, how: how(field)? })).collect()
}

fn how(field: &Field) -> Result<How> {
    let mut how = How::Batch;
    each_word(&field.attrs, "split", |meta| {
        how = match () {
            () if meta.path.is_ident("clone") => How::Clone,
            () if meta.path.is_ident("items") => How::Items,
            () => return Err(meta.error("expected `clone` (the same in every part) or `items` (a list with one element per item)")),
        };
        Ok(())
    })?;
    Ok(how)
}
