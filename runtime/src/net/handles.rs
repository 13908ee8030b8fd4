//! The system's handle of each kind of socket, and the way from and to std's.

/// `AsFd` and the like, and `Debug`. `$path`: where the registration is in the type.
macro_rules! impl_handles {
    ($type:ident, $($path:ident).+) => {
        #[cfg(unix)]
        impl std::os::fd::AsFd for $type {
            fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
                std::os::fd::AsFd::as_fd(&*self.$($path).+)
            }
        }

        #[cfg(unix)]
        impl std::os::fd::AsRawFd for $type {
            fn as_raw_fd(&self) -> std::os::fd::RawFd {
                std::os::fd::AsRawFd::as_raw_fd(&*self.$($path).+)
            }
        }

        #[cfg(windows)]
        impl std::os::windows::io::AsSocket for $type {
            fn as_socket(&self) -> std::os::windows::io::BorrowedSocket<'_> {
                std::os::windows::io::AsSocket::as_socket(&*self.$($path).+)
            }
        }

        #[cfg(windows)]
        impl std::os::windows::io::AsRawSocket for $type {
            fn as_raw_socket(&self) -> std::os::windows::io::RawSocket {
                std::os::windows::io::AsRawSocket::as_raw_socket(&*self.$($path).+)
            }
        }

        impl std::fmt::Debug for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Debug::fmt(&self.$($path).+, f)
            }
        }
    };
}

/// `from_std` and `into_std`; to be used inside an `impl`. The type has a constructor `watch`.
macro_rules! std_methods {
    ($std:ty, $source:ty, $($path:ident).+) => {
        /// Takes over a socket of std's. (It is made non-blocking, as is every other handle of the same socket.)
        ///
        /// # Errors
        ///
        /// Those of the system; and outside a runtime, one that says so.
        pub fn from_std(socket: $std) -> io::Result<Self> {
            socket.set_nonblocking(true)?;
            Self::watch(<$source>::from_std(socket))
        }

        /// Gives the socket to std, no longer watched over, and blocking, as std's are.
        ///
        /// # Errors
        ///
        /// Those of the system.
        pub fn into_std(self) -> io::Result<$std> {
            let socket = <$std>::from(self.$($path).+.into_inner());
            socket.set_nonblocking(false)?;
            Ok(socket)
        }
    };
}

pub(super) use {impl_handles, std_methods};
