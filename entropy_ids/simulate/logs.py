"""The logs that the simulator writes: their fields and types, as Zeek 4.2 has them."""

from typing import Final

from entropy_ids.simulate.flows import FIELDS


def _log(fields: str) -> dict[str, str]:
    """Read the fields of a log that come after those that all logs share."""
    shared = list(FIELDS.items())[:6]  # ts, uid, and the four of id
    own = (field.partition(":")[::2] for field in fields.split())
    return dict(shared) | dict(own)


#: Zeek's fields and their types by log, as Zeek 4.2 writes them.
LOGS: Final = {
    "conn": FIELDS,
    "dns": _log(
        "proto:enum trans_id:count rtt:interval query:string qclass:count "
        "qclass_name:string qtype:count qtype_name:string rcode:count "
        "rcode_name:string AA:bool TC:bool RD:bool RA:bool Z:count "
        "answers:vector[string] TTLs:vector[interval] rejected:bool"
    ),
    "http": _log(
        "trans_depth:count method:string host:string uri:string referrer:string "
        "version:string user_agent:string origin:string request_body_len:count "
        "response_body_len:count status_code:count status_msg:string info_code:count "
        "info_msg:string tags:set[enum] username:string password:string "
        "proxied:set[string] orig_fuids:vector[string] orig_filenames:vector[string] "
        "orig_mime_types:vector[string] resp_fuids:vector[string] "
        "resp_filenames:vector[string] resp_mime_types:vector[string]"
    ),
    "ssl": _log(
        "version:string cipher:string curve:string server_name:string resumed:bool "
        "last_alert:string next_protocol:string established:bool ssl_history:string "
        "cert_chain_fps:vector[string] client_cert_chain_fps:vector[string] "
        "sni_matches_cert:bool validation_status:string"
    ),
    "ssh": _log(
        "version:count auth_success:bool auth_attempts:count direction:enum "
        "client:string server:string cipher_alg:string mac_alg:string "
        "compression_alg:string kex_alg:string host_key_alg:string host_key:string "
        "remote_location.country_code:string remote_location.region:string "
        "remote_location.city:string remote_location.latitude:double "
        "remote_location.longitude:double"
    ),
    "smtp": _log(
        "trans_depth:count helo:string mailfrom:string rcptto:set[string] date:string "
        "from:string to:set[string] cc:set[string] reply_to:string msg_id:string "
        "in_reply_to:string subject:string x_originating_ip:addr "
        "first_received:string second_received:string last_reply:string "
        "path:vector[addr] user_agent:string tls:bool fuids:vector[string] "
        "is_webmail:bool"
    ),
}
