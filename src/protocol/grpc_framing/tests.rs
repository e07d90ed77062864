use proptest::{collection::vec, prelude::*};

use super::*;

fn framed(flag: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("short").to_be_bytes();
    [&[flag], &length[..], payload].concat()
}

fn read(mut frames: FrameScanner, pieces: &[&[u8]]) -> FrameScanner {
    for piece in pieces {
        frames.feed(piece);
    }
    frames
}

/// All that a scanner can tell of a body.
type Told = (u64, Option<FramingError>, Option<Vec<u8>>, Option<Vec<u8>>);

fn told(frames: &FrameScanner) -> Told {
    let owned = |value: Option<&[u8]>| value.map(<[u8]>::to_vec);
    (
        frames.messages(),
        frames.framing_error(),
        owned(frames.status()),
        owned(frames.message()),
    )
}

/// Written by the book, to compare with.
fn encode(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let bits = group
            .iter()
            .fold(0u32, |bits, byte| bits << 8 | u32::from(*byte));
        let bits = bits << (8 * (3 - group.len()));
        for at in 0..4 {
            let letter = LETTERS[(bits >> (18 - 6 * at)) as usize & 63];
            text.push(if at > group.len() { '=' } else { letter.into() });
        }
    }
    text
}

#[test]
fn flaws_of_a_body_are_found_by_its_framing_alone() {
    let whole = framed(0, b"order");
    let two = [whole.clone(), framed(1, b"")].concat();
    for (body, messages, flaw) in [
        (&b""[..], 0, Some(FramingError::NoMessage)),
        (&whole, 1, None),
        (&two, 2, None),
        (&framed(0, b""), 1, None),
        (&whole[..1], 0, Some(FramingError::Truncated)),
        (&whole[..5], 0, Some(FramingError::Truncated)),
        (&whole[..9], 0, Some(FramingError::Truncated)),
        (&two[..12], 1, Some(FramingError::Truncated)),
        (b"\x02", 0, Some(FramingError::Invalid)),
        (b"{\"order\": 7}", 0, Some(FramingError::Invalid)),
        (
            &framed(0x80, b"grpc-status: 0"),
            0,
            Some(FramingError::Invalid),
        ),
        (
            &[&whole[..], b"\xff"].concat(),
            1,
            Some(FramingError::Invalid),
        ),
        (b"\x00\xff\xff\xff\xff", 0, Some(FramingError::Truncated)),
    ] {
        let frames = read(FrameScanner::new(), &[body]);
        assert_eq!(
            (frames.messages(), frames.framing_error()),
            (messages, flaw),
            "{body:?}"
        );
    }
}

#[test]
fn trailers_of_grpc_web_are_read_however_they_are_written() {
    for (lines, status, message) in [
        (
            "grpc-status: 13\r\ngrpc-message: torn%20page\r\n",
            "13",
            Some("torn%20page"),
        ),
        ("grpc-status:13\r\ngrpc-message:a: b", "13", Some("a: b")),
        ("Grpc-Message: x\nGRPC-STATUS :  0 \n", "0", Some("x")),
        ("grpc-status: 5\r\ngrpc-status: 0\r\n", "5", None),
        ("x-status: 1\r\n\r\ngrpc-status: 2", "2", None),
        ("grpc-message: \r\ngrpc-status: 4\r\n", "4", Some("")),
    ] {
        let body = [framed(0, b"m"), framed(0x80, lines.as_bytes())].concat();
        let frames = read(FrameScanner::new().with_trailers(), &[&body]);
        let message = message.map(str::as_bytes);
        assert_eq!(frames.status(), Some(status.as_bytes()), "{lines:?}");
        assert_eq!(frames.message(), message, "{lines:?}");
        assert_eq!(
            (frames.messages(), frames.framing_error()),
            (1, None),
            "{lines:?}"
        );
    }
}

#[test]
fn trailers_without_a_status_or_compressed_tell_none() {
    for (flag, lines) in [
        (0x80, ""),
        (0x80, "grpc-status"),
        (0x80, "\r\n\r\n"),
        (0x81, "grpc-status: 13\r\n"),
    ] {
        let frames = read(
            FrameScanner::new().with_trailers(),
            &[&framed(flag, lines.as_bytes())],
        );
        assert_eq!(frames.status(), None, "{lines:?}");
        assert!(!frames.is_invalid() && !frames.is_mid_frame(), "{lines:?}");
    }
}

#[test]
fn trailers_have_come_with_their_last_byte_and_only_with_a_status() {
    let ended = |body: &[u8]| read(FrameScanner::new().with_trailers(), &[body]).has_ended();
    let whole = framed(0x80, b"grpc-status: 0\r\nx: y\r\n");
    assert!(ended(&whole));
    assert!(!ended(&whole[..whole.len() - 1]), "the status is there");
    assert!(!ended(&framed(0x80, b"x: y\r\n")), "no status");
}

#[test]
fn trailers_are_the_last_message() {
    let trailer = framed(0x80, b"grpc-status: 0\r\n");
    let body = [trailer, framed(0, b"more")].concat();
    let frames = read(FrameScanner::new().with_trailers(), &[&body]);
    assert!(frames.is_invalid());
    assert_eq!(frames.status(), Some(&b"0"[..]));
}

#[test]
fn trailers_of_any_length_keep_little_and_hide_no_status() {
    let padding = "x-padding: ".to_owned() + &"y".repeat(100_000);
    let message = "grpc-message: ".to_owned() + &"z".repeat(100_000);
    let lines = [padding, message, "grpc-status: 7".to_owned()].join("\r\n");
    let body = framed(0x80, lines.as_bytes());
    for pieces in [vec![&body[..]], body.chunks(700).collect()] {
        let frames = read(FrameScanner::new().with_trailers(), &pieces);
        assert_eq!(frames.status(), Some(&b"7"[..]));
        assert_eq!(frames.message().map(<[u8]>::len), Some(1024));
        assert!(frames.trailers.expect("read").buffered_len() < 2_100);
    }
}

#[test]
fn text_that_is_no_base64_is_broken() {
    for (text, flaw) in [
        ("AAAAAAA=", None),
        ("AAAAAAA", Some(FramingError::Truncated)),
        // The message is whole, and another character has come.
        ("AAAAAAA=A", Some(FramingError::Truncated)),
        ("AAAA AAA=", Some(FramingError::Invalid)),
        ("A===", Some(FramingError::Invalid)),
        ("=", Some(FramingError::Invalid)),
        ("AA=A", Some(FramingError::Invalid)),
        ("AAA==", Some(FramingError::Invalid)),
        ("AAAA-_==", Some(FramingError::Invalid)),
    ] {
        let frames = read(FrameScanner::new().base64_encoded(), &[text.as_bytes()]);
        assert_eq!(frames.framing_error(), flaw, "{text}");
    }
}

fn payloads() -> impl Strategy<Value = Vec<(bool, Vec<u8>)>> {
    vec((any::<bool>(), vec(any::<u8>(), 0..40)), 0..6)
}

/// The same bytes in pieces, cut where the numbers say.
fn cut<'a>(bytes: &'a [u8], lengths: &[usize]) -> Vec<&'a [u8]> {
    let mut rest = bytes;
    let mut pieces = Vec::new();
    for &length in lengths {
        let (piece, after) = rest.split_at(length.min(rest.len()));
        pieces.push(piece);
        rest = after;
    }
    pieces.push(rest);
    pieces
}

proptest! {
    #[test]
    fn messages_that_were_framed_are_counted_in_any_cut(
        payloads in payloads(),
        status in "[0-9]{1,3}",
        message in "[a-zA-Z0-9%:-]{0,40}",
        lengths in vec(0_usize..12, 0..60),
        text: bool,
    ) {
        let mut parts: Vec<_> = payloads
            .iter()
            .map(|(compressed, payload)| framed(u8::from(*compressed), payload))
            .collect();
        let lines = format!("grpc-status: {status}\r\ngrpc-message: {message}\r\n");
        parts.push(framed(TRAILER_FLAG, lines.as_bytes()));
        let mut frames = FrameScanner::new().with_trailers();
        let body = if text {
            frames = frames.base64_encoded();
            // Each padded by itself.
            parts.iter().map(|part| encode(part)).collect::<String>().into_bytes()
        } else {
            parts.concat()
        };
        let flaw = payloads.is_empty().then_some(FramingError::NoMessage);
        let expected = (
            payloads.len() as u64,
            flaw,
            Some(status.into_bytes()),
            Some(message.into_bytes()),
        );
        prop_assert_eq!(told(&read(frames, &cut(&body, &lengths))), expected);
    }

    #[test]
    fn decoder_finds_the_same_in_bytes_however_they_are_split(
        mut bytes in vec(any::<u8>(), 0..200),
        calm: bool,
        lengths in vec(0_usize..12, 0..60),
        web: bool,
        text: bool,
    ) {
        if calm {
            // Mostly small numbers: flags and lengths that make sense.
            bytes.iter_mut().for_each(|byte| *byte %= 3);
        }
        let mut frames = FrameScanner::new();
        if web {
            frames = frames.with_trailers();
        }
        if text {
            frames = frames.base64_encoded();
            bytes = match calm {
                true => encode(&bytes).into_bytes(),
                false => bytes,
            };
        }
        let whole = told(&read(frames.clone(), &[&bytes]));
        prop_assert_eq!(told(&read(frames, &cut(&bytes, &lengths))), whole);
    }

    #[test]
    fn base64_is_decoded_as_it_was_encoded(bytes in vec(any::<u8>(), 0..600), lengths in vec(0_usize..300, 0..8)) {
        let (mut decoder, mut decoded) = (Base64Decoder::new(), Vec::new());
        for piece in cut(encode(&bytes).as_bytes(), &lengths) {
            prop_assert!(decoder.decode(piece, |part| decoded.extend_from_slice(part)));
        }
        prop_assert!(!decoder.is_mid_group());
        prop_assert_eq!(decoded, bytes);
    }
}
