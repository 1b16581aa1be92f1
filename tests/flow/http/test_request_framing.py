"""Requests by their bytes (RFC 9112): what is ambiguous or malformed is refused, the connection is closed
and no backend hears of it; what is well-formed is served, however it is cut into segments."""

import json

import pytest
from fake_llm import answers
from raw_client import CHAT, RawClient, get, post

BODY = json.dumps(CHAT).encode()
N = len(BODY)
START = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
CHUNKS = b"%x\r\n%s\r\n0\r\n\r\n" % (N, BODY)
SMUGGLED = b"GET /v1/models HTTP/1.1\r\nHost: smuggled\r\n\r\n"


@pytest.fixture(scope="module")
def backend(shared_llm):
    return shared_llm("a", chat=answers("Hello from a"))


@pytest.fixture(scope="module")
def gw(backend, shared_gateway):
    return shared_gateway(backend, health="{interval: 10m, timeout: 1s}", workers="1", log="{level: info}")


def te(value: bytes) -> bytes:
    return START + b"Transfer-Encoding: " + value + b"\r\n\r\n" + CHUNKS


def te_line(line: bytes) -> bytes:
    """The line that some parsers take for a Transfer-Encoding, beside a Content-Length that is right."""
    return START + line + b"\r\nContent-Length: %d\r\n\r\n" % N + BODY


def cl(value: bytes) -> bytes:
    return START + b"Content-Length: " + value + b"\r\n\r\n" + BODY


def chunks(data: bytes) -> bytes:
    return START + CHUNKED + data


def field(line: bytes) -> bytes:
    return b"GET /health HTTP/1.1\r\nHost: x\r\n" + line + b"\r\n\r\n"


def line(request_line: bytes, host: bytes = b"Host: x\r\n") -> bytes:
    return request_line + b"\r\n" + host + b"\r\n"


# name: (status, bytes). Each is followed on the wire by a request that must never be answered.
REFUSED = {
    # --- both lengths ---
    "cl_te": (400, START + b"Content-Length: %d\r\n" % N + CHUNKED + CHUNKS),
    "te_cl": (400, START + b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n" + CHUNKS),
    "te_cl_zero": (400, START + b"Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n" + CHUNKS),
    # --- Transfer-Encoding that is not plainly `chunked` ---
    "te_xchunked": (501, te(b"xchunked")),
    "te_gzip": (501, te(b"gzip")),
    "te_gzip_chunked": (501, te(b"gzip, chunked")),
    "te_identity": (501, te(b"identity")),
    "te_identity_chunked": (501, te(b"identity, chunked")),
    "te_chunked_identity": (400, te(b"chunked, identity")),
    "te_chunked_twice_in_a_list": (400, te(b"chunked, chunked")),
    "te_two_lines": (400, START + b"Transfer-Encoding: chunked\r\n" + CHUNKED + CHUNKS),
    "te_two_lines_identity_last": (400, START + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n" +
                                   CHUNKS),
    "te_two_lines_identity_first": (501, START + b"Transfer-Encoding: identity\r\n" + CHUNKED + CHUNKS),
    "te_empty": (400, te(b"")),
    "te_comma": (400, te(b",")),
    "te_leading_comma": (400, te(b", chunked")),
    "te_trailing_comma": (400, te(b"chunked,")),
    "te_quoted": (400, te(b'"chunked"')),
    "te_parameter": (400, te(b"chunked;q=1")),
    "te_vertical_tab": (400, te(b"\x0bchunked")),
    "te_form_feed": (400, te(b"chunked\x0c")),
    "te_nul_behind": (400, te(b"chunked\x00")),
    "te_nul_inside": (400, te(b"chun\x00ked")),
    "te_no_break_space": (400, te(b"\xa0chunked")),
    "te_byte_85": (400, te(b"chunked\x85")),
    "te_fold": (400, te_line(b"Transfer-Encoding:\r\n chunked")),
    "te_fold_tab": (400, te_line(b"Transfer-Encoding: chu\r\n\tnked")),
    "te_space_before_colon": (400, te_line(b"Transfer-Encoding : chunked")),
    "te_tab_before_colon": (400, te_line(b"Transfer-Encoding\t: chunked")),
    "te_nul_before_colon": (400, te_line(b"Transfer-Encoding\x00: chunked")),
    "te_byte_85_before_colon": (400, te_line(b"Transfer-Encoding\x85: chunked")),
    "te_leading_space": (400, te_line(b" Transfer-Encoding: chunked")),
    "te_no_colon": (400, te_line(b"Transfer-Encoding chunked")),
    "te_name_alone": (400, te_line(b"Transfer-Encoding")),
    "te_split_name": (400, te_line(b"Transfer-\r\nEncoding: chunked")),
    "te_behind_bare_cr": (400, te_line(b"X: y\rTransfer-Encoding: chunked")),
    "te_behind_bare_lf": (400, te_line(b"X: y\nTransfer-Encoding: chunked")),
    "te_behind_nul": (400, te_line(b"X: y\x00Transfer-Encoding: chunked")),
    "te_in_http_1_0": (400, START.replace(b"1.1", b"1.0") + CHUNKED + CHUNKS),
    # --- Content-Length ---
    "cl_plus": (400, cl(b"+%d" % N)),
    "cl_minus": (400, cl(b"-%d" % N)),
    "cl_minus_zero": (400, cl(b"-0")),
    "cl_hex": (400, cl(b"0x%x" % N)),
    "cl_underscore": (400, cl(b"6_0")),
    "cl_list_same": (400, cl(b"%d, %d" % (N, N))),
    "cl_list_differs": (400, cl(b"%d, 0" % N)),
    "cl_twice_differs": (400, START + b"Content-Length: 0\r\nContent-Length: %d\r\n\r\n" % N + BODY),
    "cl_empty": (400, cl(b"")),
    "cl_blank": (400, cl(b" \t ")),
    "cl_two_words": (400, cl(b"%d 0" % N)),
    "cl_exponent": (400, cl(b"6e1")),
    "cl_fraction": (400, cl(b"%d.0" % N)),
    "cl_quoted": (400, cl(b'"%d"' % N)),
    "cl_semicolon": (400, cl(b"%d;x" % N)),
    "cl_over_64_bits": (400, cl(b"%d" % (2 ** 64 + N))),
    "cl_over_63_bits": (400, cl(b"%d" % (2 ** 63 + N))),
    "cl_over_32_bits": (413, cl(b"%d" % (2 ** 32 + N))),
    "cl_forty_digits": (400, cl(b"9" * 40)),
    "cl_arabic_digits": (400, cl("\u0661\u0662".encode())),
    "cl_fullwidth_digits": (400, cl("\uff11".encode())),
    "cl_nul": (400, cl(b"%d\x00" % N)),
    "cl_vertical_tab": (400, cl(b"\x0b%d" % N)),
    "cl_space_before_colon": (400, START + b"Content-Length : %d\r\n\r\n" % N + BODY),
    "cl_fold": (400, START + b"Content-Length:\r\n %d\r\n\r\n" % N + BODY),
    # --- chunks ---
    "chunk_size_0x": (400, chunks(b"0x5\r\nhello\r\n0\r\n\r\n")),
    "chunk_size_plus": (400, chunks(b"+5\r\nhello\r\n0\r\n\r\n")),
    "chunk_size_minus": (400, chunks(b"-5\r\nhello\r\n0\r\n\r\n")),
    "chunk_size_minus_zero": (400, chunks(b"-0\r\n\r\n")),
    "chunk_size_leading_space": (400, chunks(b" 5\r\nhello\r\n0\r\n\r\n")),
    "chunk_size_trailing_space": (400, chunks(b"5 \r\nhello\r\n0\r\n\r\n")),
    "chunk_size_space_before_extension": (400, chunks(b"5 ;a\r\nhello\r\n0\r\n\r\n")),
    "chunk_size_junk": (400, chunks(b"5junk\r\nhello\r\n0\r\n\r\n")),
    "chunk_size_underscore": (400, chunks(b"0_5\r\nhello\r\n0\r\n\r\n")),
    "chunk_size_empty": (400, chunks(b"\r\nhello\r\n0\r\n\r\n")),
    "chunk_size_is_an_extension": (400, chunks(b";a\r\nhello\r\n0\r\n\r\n")),
    "chunk_size_not_hex": (400, chunks(b"g\r\nhello\r\n0\r\n\r\n")),
    "chunk_size_nul": (400, chunks(b"5\x00\r\nhello\r\n0\r\n\r\n")),
    "chunk_size_wraps_64_bits": (400, chunks(b"10000000000000005\r\nhello\r\n0\r\n\r\n")),
    "chunk_size_all_ones": (400, chunks(b"ffffffffffffffff\r\nhello\r\n0\r\n\r\n")),
    "chunk_size_line_ends_in_lf": (400, chunks(b"5\nhello\r\n0\r\n\r\n")),
    "chunk_size_line_ends_in_cr": (400, chunks(b"5\rhello\r\n0\r\n\r\n")),
    "chunk_size_line_ends_in_cr_cr_lf": (400, chunks(b"5\r\r\nhello\r\n0\r\n\r\n")),
    "chunk_data_then_lf": (400, chunks(b"5\r\nhello\n0\r\n\r\n")),
    "chunk_data_then_cr": (400, chunks(b"5\r\nhello\r0\r\n\r\n")),
    "chunk_data_then_cr_cr": (400, chunks(b"5\r\nhello\r\rX0\r\n\r\n")),
    "chunk_data_without_an_end": (400, chunks(b"5\r\nhello0\r\n\r\n")),
    "chunk_longer_than_its_size": (400, chunks(b"5\r\nhello world\r\n0\r\n\r\n")),
    "chunk_extension_with_lf": (400, chunks(b"5;a\nhello\r\n0\r\n\r\n")),
    "chunk_extension_with_cr": (400, chunks(b"5;a\rb\r\nhello\r\n0\r\n\r\n")),
    "chunk_extension_with_nul": (400, chunks(b"5;a\x00b\r\nhello\r\n0\r\n\r\n")),
    "chunk_extension_without_end": (400, chunks(b"5;" + b"a" * 5000 + b"\r\nhello\r\n0\r\n\r\n")),
    "chunk_extensions_mostly": (400, chunks((b"1;" + b"a" * 250 + b"\r\n{\r\n") * 200 + b"0\r\n\r\n")),
    "trailer_without_a_colon": (400, chunks(b"0\r\nGET / HTTP/1.1\r\n\r\n")),
    "trailer_with_a_space_before_its_colon": (400, chunks(b"0\r\nx : y\r\n\r\n")),
    "trailer_with_a_leading_space": (400, chunks(b"0\r\n x: y\r\n\r\n")),
    "trailer_without_a_name": (400, chunks(b"0\r\n: y\r\n\r\n")),
    "trailer_with_nul": (400, chunks(b"0\r\nx: \x00\r\n\r\n")),
    "trailer_ends_in_lf": (400, chunks(b"0\r\nx: y\n\r\n")),
    "last_chunk_ends_in_lf": (400, chunks(b"0\r\n\n")),
    "trailers_without_end": (400, chunks(b"0\r\n" + b"x: y\r\n" * 5000 + b"\r\n")),
    # --- header lines ---
    "header_without_a_name": (400, field(b": v")),
    "header_without_a_colon": (400, field(b"no colon")),
    "header_name_with_a_space": (400, field(b"a b: v")),
    "header_name_with_a_parenthesis": (400, field(b"a(b): v")),
    "header_name_with_nul": (400, field(b"a\x00b: v")),
    "header_name_not_ascii": (400, field("é: v".encode())),
    "header_value_with_nul": (400, field(b"a: \x00")),
    "header_value_with_bare_cr": (400, field(b"a: b\rc: d")),
    "header_value_with_bare_lf": (400, field(b"a: b\nc: d")),
    "header_value_with_a_control_byte": (400, field(b"a: \x01")),
    "header_value_with_del": (400, field(b"a: \x7f")),
    "header_fold": (400, field(b"a: b\r\n c")),
    "header_fold_tab": (400, field(b"a: b\r\n\tc")),
    "header_first_line_indented": (400, b"GET /health HTTP/1.1\r\n Host: x\r\n\r\n"),
    "head_ends_in_lf_lf": (400, b"GET /health HTTP/1.1\r\nHost: x\n\n"),
    "head_all_in_lf": (400, b"GET /health HTTP/1.1\nHost: x\n\n"),
    "head_ends_in_cr_lf_lf": (400, b"GET /health HTTP/1.1\r\nHost: x\r\n\n"),
    "headers_too_many": (431, field(b"\r\n".join(b"a%d: b" % i for i in range(101)))),
    "header_too_long": (431, field(b"a: " + b"b" * 40000)),
    "request_line_too_long": (431, line(b"GET /" + b"a" * 40000 + b" HTTP/1.1")),
    # --- the request line ---
    "no_version": (400, b"GET /health\r\n\r\n"),
    "version_2": (505, line(b"GET /health HTTP/2.0")),
    "version_0_9": (505, line(b"GET /health HTTP/0.9")),
    "version_http2_preface": (505, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    "version_lower_case": (400, line(b"GET /health http/1.1")),
    "version_with_two_digits": (400, line(b"GET /health HTTP/1.10")),
    "version_without_minor": (400, line(b"GET /health HTTP/1")),
    "version_misspelt": (400, line(b"GET /health HTP/1.1")),
    "version_then_space": (400, line(b"GET /health HTTP/1.1 ")),
    "version_then_word": (400, line(b"GET /health HTTP/1.1 x")),
    "two_spaces": (400, line(b"GET  /health HTTP/1.1")),
    "tab_for_space": (400, line(b"GET\t/health HTTP/1.1")),
    "tab_before_version": (400, line(b"GET /health\tHTTP/1.1")),
    "method_missing": (400, line(b" /health HTTP/1.1")),
    "method_with_a_colon": (400, line(b"G:T /health HTTP/1.1")),
    "target_missing": (400, line(b"GET HTTP/1.1")),
    "target_with_a_fragment": (400, line(b"GET /health#x HTTP/1.1")),
    "target_with_a_space": (400, line(b"GET /health x HTTP/1.1")),
    "target_with_nul": (400, line(b"GET /health\x00 HTTP/1.1")),
    "target_not_ascii": (400, line("GET /hälth HTTP/1.1".encode())),
    "target_with_crlf_escaped": (400, line(b"GET /health%0d%0aX: y HTTP/1.1")),
    "target_with_crlf_escape_only": (400, line(b"GET /health%0d%0a HTTP/1.1")),
    "target_with_nul_escaped": (400, line(b"GET /health%00 HTTP/1.1")),
    "target_with_a_bad_escape": (400, line(b"GET /%zz HTTP/1.1")),
    "target_with_a_cut_escape": (400, line(b"GET /%4 HTTP/1.1")),
    "target_with_dots": (400, line(b"GET /v1/../health HTTP/1.1")),
    "target_with_escaped_dots": (400, line(b"GET /v1/%2e%2E/health HTTP/1.1")),
    "target_of_another_scheme": (400, line(b"GET ftp://x/health HTTP/1.1")),
    "target_in_authority_form": (400, line(b"GET x:80 HTTP/1.1")),
    "target_without_a_slash": (400, line(b"GET health HTTP/1.1")),
    "asterisk_for_get": (400, line(b"GET * HTTP/1.1")),
    "absolute_form_of_another_host": (400, line(b"GET http://other/health HTTP/1.1")),
    "absolute_form_with_userinfo": (400, line(b"GET http://x@y/health HTTP/1.1", b"Host: y\r\n")),
    "absolute_form_without_a_host": (400, line(b"GET http:///health HTTP/1.1")),
    "tls_hello": (400, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64) + b"\r\n\r\n"),
    "ssh_banner": (400, b"SSH-2.0-OpenSSH_9.2\r\n\r\n"),
    "leading_lf": (400, b"\nGET /health HTTP/1.1\r\nHost: x\r\n\r\n"),
    "three_leading_blank_lines": (400, b"\r\n\r\n\r\nGET /health HTTP/1.1\r\nHost: x\r\n\r\n"),
    # --- Host ---
    "host_missing": (400, b"GET /health HTTP/1.1\r\n\r\n"),
    "host_twice": (400, line(b"GET /health HTTP/1.1", b"Host: x\r\nHost: x\r\n")),
    "host_twice_differs": (400, line(b"GET /health HTTP/1.1", b"Host: x\r\nhost: y\r\n")),
    "host_empty": (400, line(b"GET /health HTTP/1.1", b"Host:\r\n")),
    "host_list": (400, line(b"GET /health HTTP/1.1", b"Host: x, y\r\n")),
    "host_with_userinfo": (400, line(b"GET /health HTTP/1.1", b"Host: a@b\r\n")),
    "host_with_a_space": (400, line(b"GET /health HTTP/1.1", b"Host: a b\r\n")),
    "host_with_a_path": (400, line(b"GET /health HTTP/1.1", b"Host: a/b\r\n")),
    "host_with_nul": (400, line(b"GET /health HTTP/1.1", b"Host: a\x00\r\n")),
    "host_with_a_bad_port": (400, line(b"GET /health HTTP/1.1", b"Host: a:99999\r\n")),
    "host_with_a_word_for_port": (400, line(b"GET /health HTTP/1.1", b"Host: a:b\r\n")),
    "host_with_an_open_bracket": (400, line(b"GET /health HTTP/1.1", b"Host: [::1\r\n")),
    # --- expectations ---
    "expect_unknown": (417, START + b"Expect: 200-ok\r\nContent-Length: %d\r\n\r\n" % N + BODY),
    "expect_two": (417, START + b"Expect: 100-continue, x\r\nContent-Length: %d\r\n\r\n" % N + BODY),
}


@pytest.mark.parametrize("row", REFUSED)
def test_is_refused_with_a_closed_connection_and_no_backend_hears_of_it(row, gw, backend):
    status, data = REFUSED[row]
    before = len(backend.requests), backend.connections
    with RawClient(gw.port) as client:
        client.send_if_open(data + SMUGGLED)
        response = client.response()
        assert response.status == status
        assert response.closes
        assert response.is_whole
        assert set(response.json["error"]) == {"message", "type", "param", "code"}
        assert client.ends(), f"more was answered: {client.rest[:80]!r}"
    assert (len(backend.requests), backend.connections) == before


SERVED = {
    "content_length": post(CHAT),
    "content_length_with_leading_zeros": cl(b"000%d" % N),
    "content_length_with_spaces": START + b"Content-Length: \t %d \t\r\n\r\n" % N + BODY,
    "no_space_behind_the_colon": START + b"Content-Length:%d\r\n\r\n" % N + BODY,
    "header_names_in_any_case": START.replace(b"Host", b"hOST") + b"CONTENT-length: %d\r\n\r\n" % N + BODY,
    "header_value_not_ascii": START + b"X: \xff\xfe\r\nContent-Length: %d\r\n\r\n" % N + BODY,
    "header_value_empty": START + b"X:\r\nContent-Length: %d\r\n\r\n" % N + BODY,
    "underscore_is_another_header": te_line(b"Transfer_Encoding: chunked"),
    "a_hundred_headers": post(CHAT, "".join(f"a{i}: b\r\n" for i in range(98))),
    "chunked": chunks(CHUNKS),
    "chunked_in_capitals": te(b"CHUNKED"),
    "chunked_with_spaces": te(b"\t chunked \t"),
    "chunked_byte_by_byte": chunks(b"".join(b"1\r\n%c\r\n" % c for c in BODY) + b"0\r\n\r\n"),
    "chunk_size_with_leading_zeros": chunks(b"000%X\r\n%s\r\n000\r\n\r\n" % (N, BODY)),
    "chunk_extensions": chunks(b'%x;a;b=c;d="e f"\r\n%s\r\n0;last\r\n\r\n' % (N, BODY)),
    "trailers": chunks(CHUNKS[:-2] + b"X-Secret: 1\r\nContent-Length: 3\r\n\r\n"),
    "one_blank_line_before": b"\r\n" + post(CHAT),
    "two_blank_lines_before": b"\r\n\r\n" + post(CHAT),
    "absolute_form": post(CHAT, path="http://x/v1/chat/completions"),
    "absolute_form_with_its_default_port": post(CHAT, path="http://x:80/v1/chat/completions"),
    "absolute_form_in_capitals": post(CHAT, path="HTTP://X/v1/chat/completions"),
    "query": post(CHAT, path="/v1/chat/completions?api-version=2"),
    "host_with_port": START.replace(b"Host: x", b"Host: [::1]:8400") + b"Content-Length: %d\r\n\r\n" % N + BODY,
    "upgrade_is_ignored": post(CHAT, "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
                                     "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n"),
    "connection_names_the_framing": post(CHAT, "Connection: content-length, host\r\n"),
    "version_1_2": post(CHAT, version="1.2"),
    "no_content_type": post(CHAT),
    "expect_with_the_body_behind_it": post(CHAT, "Expect: 100-continue\r\n"),
}


@pytest.mark.parametrize("row", SERVED)
def test_is_served_and_leaves_the_connection_in_order(row, gw, backend):
    with RawClient(gw.port) as client:
        client.send(SERVED[row])
        response = client.response()
        assert response.status == 200, response.body
        assert response.text == "Hello from a"
        assert client.is_open()
    sent = backend.chats[-1]
    head = sent.raw_head.lower()
    assert sent.json["messages"] == CHAT["messages"]
    assert head.count(b"content-length:") == 1 and b"transfer-encoding" not in head
    for dropped in (b"upgrade", b"connection", b"x-secret", b"http2-settings", b"expect", b"api-version"):
        assert dropped not in head


def test_a_repeated_content_length_of_the_same_value_does_not_desynchronise(gw):
    """RFC 9112 6.3 lets a server merge it or refuse it."""
    with RawClient(gw.port) as client:
        client.send(START + b"Content-Length: %d\r\nContent-Length: %d\r\n\r\n" % (N, N) + BODY + SMUGGLED)
        response = client.response()
        assert response.status == 200 and client.response().status == 200 or \
            response.status == 400 and response.closes and client.ends()


# --- what comes in pieces ---

@pytest.mark.parametrize("request_bytes", [post(CHAT), chunks(b"%x;e=1\r\n%s\r\n0\r\nt: u\r\n\r\n" % (N, BODY))],
                         ids=["content_length", "chunked"])
def test_a_request_may_be_cut_at_every_byte(request_bytes, gw, backend):
    """The first parts of all are sent, then a round trip shows that they have been read."""
    before = len(backend.chats)
    clients = [RawClient(gw.port) for _ in range(1, len(request_bytes))]
    for cut, client in enumerate(clients, 1):
        client.send(request_bytes[:cut])
    assert gw.request("GET", "/health").status == 200
    assert len(backend.chats) == before
    for cut, client in enumerate(clients, 1):
        client.send(request_bytes[cut:])
    for cut, client in enumerate(clients, 1):
        assert client.response().text == "Hello from a", f"cut at {cut}"
        client.close()


def test_a_request_may_come_byte_by_byte(gw):
    with RawClient(gw.port) as client:
        for byte in chunks(CHUNKS):
            client.send(bytes([byte]))
        assert client.response().text == "Hello from a"


def test_a_malformed_head_is_refused_as_soon_as_it_is_complete(gw):
    with RawClient(gw.port) as client:
        client.send("GET /health HTTP/1.1\r\nHost : x\r\n\r\n")
        assert client.response().status == 400


def test_a_malformed_chunk_is_refused_before_the_body_ends(gw):
    with RawClient(gw.port) as client:
        client.send(chunks(b"zz"))
        assert client.response().status == 400


# --- 100-continue ---

def test_who_expects_it_is_told_to_continue(gw):
    with RawClient(gw.port) as client:
        client.send(post(CHAT, "Expect: 100-continue\r\n")[:-N])
        assert client.response().status == 100
        assert client.send(BODY).response().text == "Hello from a"
        assert client.is_open()


def test_who_expects_it_with_chunks_is_told_to_continue(gw):
    with RawClient(gw.port) as client:
        client.send(START + b"expect: 100-Continue\r\n" + CHUNKED)
        assert client.response().status == 100
        assert client.send(CHUNKS).response().text == "Hello from a"


def test_http_1_0_is_not_told_to_continue(gw):
    with RawClient(gw.port) as client:
        client.send(post(CHAT, "Expect: 100-continue\r\n", version="1.0"))
        assert client.response().text == "Hello from a"


def test_nobody_is_told_to_continue_with_what_is_refused(gw):
    with RawClient(gw.port) as client:
        client.send(post(CHAT, "Expect: 100-continue\r\n", path="/v1/nothing")[:-N])
        response = client.response()
        assert response.status == 404 and response.closes
        assert client.ends()


def test_without_a_body_there_is_nothing_to_continue(gw):
    with RawClient(gw.port) as client:
        client.send(get("/health", "Expect: 100-continue\r\n"))
        assert client.response().status == 200


# --- pipelining ---

def test_pipelined_requests_are_answered_in_order(gw):
    paths = ["/v1/models/m", "/v1/models", "/v1/nothing", "/health"]
    with RawClient(gw.port) as client:
        client.send(b"".join(get(p) for p in paths) + post(CHAT) + get("/health"))
        seen = [client.response() for _ in range(6)]
        assert [r.status for r in seen] == [200, 200, 404, 200, 200, 200]
        assert seen[0].json["id"] == "m" and seen[1].json["object"] == "list"
        assert seen[4].text == "Hello from a" and seen[5].json == {"status": "ok"}
        assert client.is_open()


def test_pipelined_chats_are_answered_one_by_one(gw, backend):
    before = len(backend.chats)
    with RawClient(gw.port) as client:
        for i in range(20):
            client.send(post({**CHAT, "user": f"u{i}"}, f"x-request-id: r{i}\r\n"))
        assert [client.response().headers["x-request-id"] for _ in range(20)] == [f"r{i}" for i in range(20)]
    assert [q.json["user"] for q in backend.chats[before:]] == [f"u{i}" for i in range(20)]


def test_pipelined_requests_larger_than_what_may_wait_are_served_all(gw):
    large = {**CHAT, "user": "x" * 100_000}
    with RawClient(gw.port) as client:
        client.send(post(large) * 8)
        assert [client.response().status for _ in range(8)] == [200] * 8
        assert client.is_open()


def test_what_follows_connection_close_is_not_served(gw):
    with RawClient(gw.port) as client:
        client.send(get("/health", "Connection: close\r\n") + SMUGGLED)
        response = client.response()
        assert response.status == 200 and response.closes
        assert client.ends()


# --- bodies of requests that do not want one ---

@pytest.mark.parametrize("method, path, status", [
    ("GET", "/health", 200), ("HEAD", "/health", 200), ("GET", "/v1/nothing", 404), ("DELETE", "/health", 405),
    ("OPTIONS", "/v1/chat/completions", 405), ("TRACE", "/health", 405), ("POST", "/v1/nothing", 404),
    ("PUT", "/v1/chat/completions", 405)])
@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_an_unwanted_body_is_never_taken_for_a_request(framing, method, path, status, gw):
    head = f"{method} {path} HTTP/1.1\r\nHost: x\r\n".encode()
    if framing == "length":
        body = b"Content-Length: %d\r\n\r\n" % len(SMUGGLED) + SMUGGLED
    else:
        body = CHUNKED + b"%x\r\n%s\r\n0\r\n\r\n" % (len(SMUGGLED), SMUGGLED)
    with RawClient(gw.port) as client:
        client.send(head + body + get("/v1/models/m"))
        assert client.response(to_head=method == "HEAD").status == status
        assert client.response().json["id"] == "m"
        assert client.is_open()


def test_an_unwanted_body_that_is_too_long_to_read_away_ends_the_connection(gw):
    with RawClient(gw.port) as client:
        client.send(b"POST /v1/nothing HTTP/1.1\r\nHost: x\r\nContent-Length: 5000000\r\n\r\n")
        response = client.response()
        assert response.status == 404
        client.send_if_open(SMUGGLED * 20000)
        assert client.ends()


def test_an_unwanted_body_that_is_malformed_ends_the_connection(gw):
    with RawClient(gw.port) as client:
        client.send(b"POST /v1/nothing HTTP/1.1\r\nHost: x\r\n" + CHUNKED + b"zz\r\n" + SMUGGLED)
        assert client.response().status == 404
        assert client.ends()


# --- HTTP/1.0 ---

def test_http_1_0_is_answered_and_closed(gw):
    with RawClient(gw.port) as client:
        client.send(b"GET /health HTTP/1.0\r\n\r\n")
        response = client.response()
        assert response.status == 200 and "transfer-encoding" not in response.headers
        assert client.ends()


def test_http_1_0_with_keep_alive_stays_open(gw):
    with RawClient(gw.port) as client:
        client.send(post(CHAT, "Connection: keep-alive\r\n", version="1.0"))
        response = client.response()
        assert response.text == "Hello from a"
        assert response.headers["connection"] == "keep-alive"
        assert client.is_open()


@pytest.mark.parametrize("header", ["", "Connection: keep-alive\r\n"], ids=["plain", "keep_alive"])
def test_a_stream_for_http_1_0_ends_with_the_connection(header, gw):
    with RawClient(gw.port) as client:
        client.send(post({**CHAT, "stream": True}, header, version="1.0"))
        response = client.response()
        assert "transfer-encoding" not in response.headers and "content-length" not in response.headers
        assert response.body.endswith(b"data: [DONE]\n\n") and not client.was_reset
        assert response.headers.get("connection", "close") == "close"


# --- other methods and targets ---

@pytest.mark.parametrize("path, status", [("/health", 200), ("/v1/models", 200), ("/v1/nothing", 404),
                                          ("/v1/chat/completions", 405)])
def test_head_has_the_head_of_get_and_no_body(path, status, gw):
    with RawClient(gw.port) as client:
        client.send(get(path))
        of_get = client.response()
        client.send(get(path).replace(b"GET", b"HEAD"))
        of_head = client.response(to_head=True)
        assert of_head.status == of_get.status == status
        assert of_head.headers["content-length"] == of_get.headers["content-length"]
        assert of_head.headers["content-type"] == of_get.headers["content-type"]
        assert client.is_open()


def test_options_asterisk_is_refused(gw, backend):
    before = backend.connections
    with RawClient(gw.port) as client:
        client.send(b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n")
        assert client.response().status in (404, 405)
        assert client.is_open()
    assert backend.connections == before


@pytest.mark.parametrize("target", ["x:443", "127.0.0.1:22", "[::1]:80"])
def test_connect_opens_no_tunnel(target, gw, backend):
    before = backend.connections
    with RawClient(gw.port) as client:
        client.send(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode() + SMUGGLED)
        response = client.response()
        assert response.status in (404, 405) and response.closes
        assert client.ends()
    assert backend.connections == before


def test_the_method_is_case_sensitive(gw):
    with RawClient(gw.port) as client:
        client.send(b"get /health HTTP/1.1\r\nHost: x\r\n\r\n")
        assert client.response().status == 405


def test_no_header_of_the_client_chooses_the_destination(gw, backend, shared_llm):
    other = shared_llm("other")
    with RawClient(gw.port) as client:
        client.send(post({**CHAT, "api_base": other.url, "base_url": other.url, "custom_host": other.url},
                         f"X-Forwarded-Host: 127.0.0.1:{other.port}\r\nForwarded: host=127.0.0.1:{other.port}\r\n"
                         f"X-Portkey-Custom-Host: {other.url}\r\n"))
        assert client.response().text == "Hello from a"
        client.send(post(CHAT).replace(b"Host: x", b"Host: 127.0.0.1:%d" % other.port))
        assert client.response().text == "Hello from a"
    assert not other.requests
    assert backend.chats[-1].headers["host"] == f"127.0.0.1:{backend.port}"
