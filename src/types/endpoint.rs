//! Where a node can be reached: the address of a record, and the text that people write.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use crate::codec::{Decode, DecodeError, Encode, Reader, Writer};

use super::{AddressError, NodeKey};

/// Which network a [`NetworkAddress`] is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NetworkKind {
    /// Internet protocol version 4: 4 bytes.
    V4 = 1,
    /// Internet protocol version 6: 16 bytes.
    V6 = 2,
    /// An onion service of version 3: its 32-byte key.
    TorV3 = 4,
    /// An I2P destination: its 32-byte hash.
    I2p = 5,
    /// A CJDNS node: 16 bytes.
    Cjdns = 6,
}

impl NetworkKind {
    /// Every kind, ascending.
    pub const ALL: [Self; 5] = [Self::V4, Self::V6, Self::TorV3, Self::I2p, Self::Cjdns];

    /// How many of an address's 32 bytes mean something; the rest are zero.
    #[must_use]
    pub const fn address_bytes(self) -> usize {
        match self {
            Self::V4 => 4,
            Self::V6 | Self::Cjdns => 16,
            Self::TorV3 | Self::I2p => 32,
        }
    }

    /// The kind of a byte.
    #[must_use]
    pub fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == byte)
    }
}

/// One address of a node, 36 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NetworkAddress {
    /// Which network.
    pub kind: NetworkKind,
    /// Never 0.
    pub port: u16,
    /// As many bytes as the kind has, then zeros.
    pub bytes: [u8; 32],
}

impl NetworkAddress {
    /// Bytes of the encoding.
    pub const BYTES: usize = 36;

    /// The address of a socket; none for port 0, which nobody can dial. An IPv4 address in IPv6
    /// clothes is taken for what it is.
    #[must_use]
    pub fn from_socket(socket: SocketAddr) -> Option<Self> {
        let mut bytes = [0; 32];
        let kind = match socket.ip().to_canonical() {
            IpAddr::V4(ip) => {
                bytes[..4].copy_from_slice(&ip.octets());
                NetworkKind::V4
            }
            IpAddr::V6(ip) => {
                bytes[..16].copy_from_slice(&ip.octets());
                NetworkKind::V6
            }
        };
        let port = socket.port();
        (port > 0).then_some(Self { kind, port, bytes })
    }

    /// The address as a socket's, for the networks that sockets reach.
    #[must_use]
    pub fn socket(&self) -> Option<SocketAddr> {
        let ip = match self.kind {
            NetworkKind::V4 => {
                let octets = *self.bytes.first_chunk::<4>().expect("32 bytes hold 4");
                IpAddr::V4(Ipv4Addr::from(octets))
            }
            NetworkKind::V6 => {
                let octets = *self.bytes.first_chunk::<16>().expect("32 bytes hold 16");
                IpAddr::V6(Ipv6Addr::from(octets))
            }
            NetworkKind::TorV3 | NetworkKind::I2p | NetworkKind::Cjdns => return None,
        };
        Some(SocketAddr::new(ip, self.port))
    }

    /// What follows the kind byte.
    pub(super) fn decode_after_kind(
        kind: NetworkKind,
        input: &mut Reader<'_>,
    ) -> Result<Self, DecodeError> {
        input.zeros(1, "the byte after an address's kind must be zero")?;
        let port = input.u16_in(1..=u16::MAX, "an address's port must not be 0")?;
        let mut bytes = [0; 32];
        let (used, unused) = bytes.split_at_mut(kind.address_bytes());
        used.copy_from_slice(input.bytes(used.len())?);
        input.zeros(unused.len(), "an address must be padded with zeros")?;
        Ok(Self { kind, port, bytes })
    }
}

impl Encode for NetworkAddress {
    fn encode(&self, out: &mut Writer) {
        out.u8(self.kind as u8);
        out.u8(0);
        out.u16(self.port);
        out.bytes(&self.bytes);
    }
}

impl Decode for NetworkAddress {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let kind = NetworkKind::from_byte(input.u8()?);
        let kind = kind.ok_or(DecodeError::Invalid("unknown kind of address"))?;
        Self::decode_after_kind(kind, input)
    }
}

/// What a person writes to name a peer: `KEY@HOST:PORT`, an IPv6 host in brackets.
///
/// The host is an IP address: looking up names is the business of drivers, because the answer is
/// not a function of what the node was given.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerAddress {
    /// The key that the peer must prove to have.
    pub key: NodeKey,
    /// Where to dial it.
    pub socket: SocketAddr,
}

/// Why text is not a peer's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerAddressError {
    /// There is no `@` between key and host.
    NoKey,
    /// The part before the `@` is no node key.
    Key(AddressError),
    /// The part behind the `@` has no port.
    NoPort,
    /// The port is not a number from 1 to 65,535.
    Port(String),
    /// The host is a name or no address at all.
    Host(String),
}

impl fmt::Display for PeerAddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoKey => {
                f.write_str("a peer is written KEY@HOST:PORT, with the keelnode1.. key it prints")
            }
            Self::Key(error) => write!(f, "the key before the \"@\": {error}"),
            Self::NoPort => f.write_str("the port is missing; a peer is written KEY@HOST:PORT"),
            Self::Port(port) => {
                write!(f, "\"{port}\" is no port; write a number from 1 to 65535")
            }
            Self::Host(host) => write!(
                f,
                "\"{host}\" is given where an IP address is needed; write the address itself, \
                 IPv6 in brackets"
            ),
        }
    }
}

impl std::error::Error for PeerAddressError {}

impl fmt::Display for PeerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.key, self.socket)
    }
}

impl FromStr for PeerAddress {
    type Err = PeerAddressError;

    fn from_str(text: &str) -> Result<Self, PeerAddressError> {
        let (key, place) = text.split_once('@').ok_or(PeerAddressError::NoKey)?;
        let key = key.parse().map_err(PeerAddressError::Key)?;
        // In brackets a colon belongs to the host, so only one behind them ends it.
        let behind_host = place.rfind(']').unwrap_or(0);
        let colon = place[behind_host..]
            .rfind(':')
            .ok_or(PeerAddressError::NoPort)?;
        let (host, port) = place.split_at(behind_host + colon);
        let port = &port[1..];
        let is_number = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
        let port = match port.parse::<u16>() {
            Ok(number) if is_number && number > 0 => number,
            _ => return Err(PeerAddressError::Port(port.to_owned())),
        };
        let inner = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'));
        let ip = match inner {
            Some(inner) => inner.parse::<Ipv6Addr>().map(IpAddr::V6).ok(),
            None => host.parse::<Ipv4Addr>().map(IpAddr::V4).ok(),
        };
        let ip = ip.ok_or_else(|| PeerAddressError::Host(host.to_owned()))?;
        Ok(Self {
            key,
            socket: SocketAddr::new(ip, port),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "keelnode1qqqsyqcyq5rqwzqfpg9scrgwpugpzysnzs23v9ccrydpk8qarc0svfjl2q";

    #[test]
    fn peer_addresses_there_and_back() {
        let key: Vec<u8> = (0..32).collect();
        for socket in ["127.0.0.1:1", "[::1]:65535", "[2001:db8::5]:8433"] {
            let text = format!("{KEY}@{socket}");
            let peer: PeerAddress = text.parse().unwrap();
            assert_eq!(peer.key.0, *key);
            assert_eq!(peer.socket, socket.parse().unwrap());
            assert_eq!(peer.to_string(), text);
        }
    }

    #[test]
    fn what_is_wrong_with_a_peer_address_is_named() {
        let parse = |place: &str| format!("{KEY}@{place}").parse::<PeerAddress>();
        let host = |text: &str| Err(PeerAddressError::Host(text.to_owned()));
        let port = |text: &str| Err(PeerAddressError::Port(text.to_owned()));
        assert_eq!(parse("node.example:1"), host("node.example"));
        assert_eq!(parse("::1:80"), host("::1"));
        assert_eq!(parse("[127.0.0.1]:80"), host("[127.0.0.1]"));
        assert_eq!(parse("[::1"), host("[:"));
        assert_eq!(parse("[::1]"), Err(PeerAddressError::NoPort));
        assert_eq!(parse("127.0.0.1"), Err(PeerAddressError::NoPort));
        assert_eq!(parse("127.0.0.1:"), port(""));
        assert_eq!(parse("127.0.0.1:0"), port("0"));
        assert_eq!(parse("127.0.0.1:+1"), port("+1"));
        assert_eq!(parse("127.0.0.1:65536"), port("65536"));
        assert_eq!(
            "127.0.0.1:1".parse::<PeerAddress>(),
            Err(PeerAddressError::NoKey)
        );
        assert_eq!(
            "keelnode1qq@127.0.0.1:1".parse::<PeerAddress>(),
            Err(PeerAddressError::Key(AddressError::Damaged))
        );
    }

    #[test]
    fn sockets_there_and_back() {
        for text in ["10.1.2.3:5", "[2001:db8::1]:65535"] {
            let socket: SocketAddr = text.parse().unwrap();
            let address = NetworkAddress::from_socket(socket).unwrap();
            assert_eq!(address.socket(), Some(socket));
            assert_eq!(NetworkAddress::from_bytes(&address.to_bytes()), Ok(address));
        }
        let mapped = NetworkAddress::from_socket("[::ffff:10.1.2.3]:5".parse().unwrap()).unwrap();
        assert_eq!(mapped.kind, NetworkKind::V4);
        assert_eq!(
            NetworkAddress::from_socket("10.1.2.3:0".parse().unwrap()),
            None
        );
    }
}
