//! `#[derive(CastBatch)]`.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::{Data, DeriveInput, Field, Result, parse_quote, spanned::Spanned};

use crate::input::{each_word, home, members};

pub(crate) fn expand(input: &DeriveInput) -> Result<TokenStream> {
    let Data::Struct(data) = &input.data else {
        let name = &input.ident;
        return Err(syn::Error::new(name.span(), "`CastBatch` can be derived for structs only: implement the trait manually"));
    };
    let home = home(input, "cast", parse_quote!(::stormfire::data), "`skip` belongs")?;
    let (mut fields, mut cast) = (Vec::new(), Vec::new());
    for (field, member) in data.fields.iter().zip(members(&data.fields)) {
        if is_skipped(field)? {
            fields.push(quote!(#member: self.#member));
        } else {
            fields.push(quote_spanned!(field.ty.span()=> #member: #home::CastBatch::cast_floats(self.#member, dtype)));
            cast.push(&field.ty);
        }
    }
    let dtype = if cast.is_empty() { quote!(_dtype) } else { quote!(dtype) };
    let name = &input.ident;
    let mut generics = input.generics.clone();
    if !generics.params.is_empty() {
        let bounds = generics.make_where_clause();
        for ty in cast {
            bounds.predicates.push(parse_quote!(#ty: #home::CastBatch));
        }
    }
    let (of_impl, of_type, bounds) = generics.split_for_impl();
    Ok(quote! {
        #[automatically_derived]
        impl #of_impl #home::CastBatch for #name #of_type #bounds {
            fn cast_floats(self, #dtype: #home::FloatDType) -> Self {
                Self { #(#fields),* }
            }
        }
    })
}

fn is_skipped(field: &Field) -> Result<bool> {
    let mut is_skipped = false;
    each_word(&field.attrs, "cast", |meta| {
        if !meta.path.is_ident("skip") {
            return Err(meta.error("expected `skip` (a field without float tensors)"));
        }
        is_skipped = true;
        Ok(())
    })?;
    Ok(is_skipped)
}
