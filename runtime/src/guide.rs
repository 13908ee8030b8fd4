//! For those who come from elsewhere: what is what here, and what behaves differently.
//!
//! (Nothing but text. Its programs run as tests.)

pub mod coming_from_asyncio {
    #![doc = include_str!("../guide/coming_from_asyncio.md")]
}

pub mod coming_from_tokio {
    #![doc = include_str!("../guide/coming_from_tokio.md")]
}

// Its programs are run by the package `ecosystem`, which has the libraries.
pub mod libraries {
    #![cfg_attr(not(doctest), doc = include_str!("../guide/libraries.md"))]
}
