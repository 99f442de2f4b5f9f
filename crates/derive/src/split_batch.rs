//! `#[derive(SplitBatch)]`.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::{Data, DeriveInput, Field, Fields, Index, Member, Path, Result, parse_quote, spanned::Spanned};

/// A field, how it is reached, and whether it is the same in every part.
struct Split<'a> {
    field: &'a Field,
    member: Member,
    is_cloned: bool,
}

pub(crate) fn expand(input: &DeriveInput) -> Result<TokenStream> {
    let Data::Struct(data) = &input.data else {
        let name = &input.ident;
        return Err(syn::Error::new(name.span(), "`SplitBatch` can be derived for structs only: implement the trait by hand"));
    };
    let home = home(input)?;
    let fields = splits(&data.fields)?;
    let divided: Vec<_> = fields.iter().filter(|split| !split.is_cloned).collect();
    if divided.is_empty() {
        let reason = "no field of this batch has items: a batch needs one without `#[split(clone)]`";
        return Err(syn::Error::new(input.ident.span(), reason));
    }
    let counts = divided.iter().map(|split| {
        let (member, name) = (&split.member, text(&split.member));
        quote_spanned!(split.field.ty.span()=> (#name, #home::SplitBatch::items(&self.#member)?))
    });
    let parts = fields.iter().map(|split| {
        let member = &split.member;
        if split.is_cloned {
            quote!(#member: ::core::clone::Clone::clone(&self.#member))
        } else {
            quote_spanned!(split.field.ty.span()=> #member: #home::SplitBatch::slice(&self.#member, start, end))
        }
    });
    let name = &input.ident;
    let mut generics = input.generics.clone();
    if !generics.params.is_empty() {
        let bounds = generics.make_where_clause();
        for split in &divided {
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

/// The module in which the trait is found.
fn home(input: &DeriveInput) -> Result<Path> {
    let mut home: Path = parse_quote!(::stormfire::data);
    for attribute in input.attrs.iter().filter(|attribute| attribute.path().is_ident("split")) {
        attribute.parse_nested_meta(|meta| {
            if !meta.path.is_ident("crate") {
                return Err(meta.error("expected `crate = ..` here; `clone` belongs to a field"));
            }
            home = meta.value()?.parse()?;
            Ok(())
        })?;
    }
    Ok(home)
}

fn splits(fields: &Fields) -> Result<Vec<Split<'_>>> {
    let mut all = Vec::new();
    for (index, field) in fields.iter().enumerate() {
        let member = field.ident.clone().map_or_else(|| Member::Unnamed(Index::from(index)), Member::Named);
        all.push(Split { field, member, is_cloned: is_cloned(field)? });
    }
    Ok(all)
}

fn is_cloned(field: &Field) -> Result<bool> {
    let mut cloned = false;
    for attribute in field.attrs.iter().filter(|attribute| attribute.path().is_ident("split")) {
        attribute.parse_nested_meta(|meta| {
            if !meta.path.is_ident("clone") {
                return Err(meta.error("expected `clone`: the field is the same in every part"));
            }
            cloned = true;
            Ok(())
        })?;
    }
    Ok(cloned)
}

fn text(member: &Member) -> String {
    match member {
        Member::Named(name) => name.to_string(),
        Member::Unnamed(index) => index.index.to_string(),
    }
}
