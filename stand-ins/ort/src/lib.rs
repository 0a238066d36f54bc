//! Stands in for ONNX Runtime's bindings.
//!
//! The crate `silero` carries the model's file, which is all that offhook takes from it; it also holds a session on ONNX
//! Runtime, and asks for `ort` with default features: an HTTP client, OpenSSL's headers, a binary to download. Here are
//! the names that session needs to compile. Nothing can be loaded or run: every way in returns [`Error`].

use std::{fmt, ops::Index, path::Path};

pub use session::SessionOutputs;
use value::Tensor;

/// Returned by everything: there is no runtime here.
#[derive(Debug)]
pub struct Error;

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ONNX Runtime is not part of this program")
    }
}

impl std::error::Error for Error {}

/// Named inputs: kept by nobody.
#[macro_export]
macro_rules! inputs {
    ($($name:expr => $value:expr),* $(,)?) => {{
        $(let _ = ($name, $value);)*
    }};
}

/// Sessions that cannot be made.
pub mod session {
    use super::{Error, Index, Path, Tensor, builder_of};

    /// Cannot exist.
    pub struct Session(Never);

    /// Cannot exist.
    pub struct SessionOutputs(Never);

    enum Never {}

    impl Session {
        /// Always an error.
        pub fn builder() -> Result<builder::SessionBuilder, Error> {
            builder_of()
        }

        /// Cannot be called.
        pub fn run(&mut self, _inputs: ()) -> Result<SessionOutputs, Error> {
            match self.0 {}
        }
    }

    impl Index<&str> for SessionOutputs {
        type Output = Tensor;

        fn index(&self, _name: &str) -> &Tensor {
            match self.0 {}
        }
    }

    /// The way to a session.
    pub mod builder {
        use super::{Error, Path, Session};

        /// How far a graph would be rewritten.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[allow(missing_docs)]
        pub enum GraphOptimizationLevel {
            Disable,
            Level1,
            Level2,
            Level3,
            All,
        }

        /// Builds nothing.
        pub struct SessionBuilder;

        impl SessionBuilder {
            /// Changes nothing.
            pub fn with_optimization_level(self, _level: GraphOptimizationLevel) -> Result<Self, Error> {
                Ok(self)
            }

            /// Always an error.
            pub fn commit_from_file(self, _path: impl AsRef<Path>) -> Result<Session, Error> {
                Err(Error)
            }

            /// Always an error.
            pub fn commit_from_memory(self, _model: &[u8]) -> Result<Session, Error> {
                Err(Error)
            }
        }
    }
}

/// Tensors that hold nothing.
pub mod value {
    use super::Error;

    /// Holds nothing.
    pub struct Tensor;

    /// Refers to nothing.
    pub struct TensorRef;

    impl TensorRef {
        /// Forgets what it is given.
        pub fn from_array_view<T>(_array: T) -> Result<Self, Error> {
            Ok(Self)
        }
    }

    impl Tensor {
        /// Always an error.
        pub fn try_extract_tensor<T>(&self) -> Result<(&[i64], &[T]), Error> {
            Err(Error)
        }
    }
}

fn builder_of() -> Result<session::builder::SessionBuilder, Error> {
    Err(Error)
}
