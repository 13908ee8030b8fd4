//! The libraries that filch's guide names, run on filch: `tests/libraries`, and below the programs of the guide that need
//! more packages than filch itself has.

#[cfg(doctest)]
mod guide {
    #[doc = include_str!("../../runtime/guide/hyper.md")]
    mod hyper {}

    #[doc = include_str!("../../runtime/guide/hyper_client.md")]
    mod hyper_client {}

    #[doc = include_str!("../../runtime/guide/libraries.md")]
    mod libraries {}
}
