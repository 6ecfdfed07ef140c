"""An S3-compatible server for tests: moto's, behind a check of every request's signature.

moto itself takes any presigned request. Here the signature is computed again by botocore, a public
implementation that is not ours, from what arrived and the one secret key that is known; a request
that is not signed so, or no longer, is refused as S3 refuses it.

Does not live here: starting and stopping it (s3.sh).
"""

import datetime
import hmac
import sys
from urllib.parse import parse_qs, urlsplit

from botocore.auth import S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import run_simple
from werkzeug.wrappers import Request, Response

ACCESS_KEY, SECRET_KEY, REGION = "test-access", "test-secret", "us-east-1"


def refusal(code):
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code></Error>"
    return Response(body, status=403, content_type="application/xml")


def judge(request):
    """Why the request is refused; None when it may pass."""
    url = request.environ["REQUEST_URI"]
    query = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
    given = query.get("X-Amz-Signature")
    if given is None:
        return "AccessDenied"
    if query["X-Amz-Credential"].split("/")[0] != ACCESS_KEY:
        return "InvalidAccessKeyId"
    signed_at = datetime.datetime.strptime(query["X-Amz-Date"], "%Y%m%dT%H%M%SZ")
    until = signed_at + datetime.timedelta(seconds=int(query["X-Amz-Expires"]))
    if until < datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None):
        return "AccessDenied"
    path, _, raw_query = url.partition("?")
    kept = [part for part in raw_query.split("&") if not part.startswith("X-Amz-Signature=")]
    names = query["X-Amz-SignedHeaders"].split(";")
    signed = AWSRequest(
        method=request.method,
        url=f"http://{request.host}{path}?{'&'.join(kept)}",
        headers={name: request.headers[name] for name in names},
    )
    signed.context["timestamp"] = query["X-Amz-Date"]
    auth = S3SigV4QueryAuth(Credentials(ACCESS_KEY, SECRET_KEY), "s3", REGION)
    text = auth.string_to_sign(signed, auth.canonical_request(signed))
    expected = auth.signature(text, signed)
    return None if hmac.compare_digest(expected, given) else "SignatureDoesNotMatch"


def main(port, bucket):
    moto = DomainDispatcherApplication(create_backend_app)

    def application(environ, start_response):
        request = Request(environ)
        code = judge(request)
        return refusal(code)(environ, start_response) if code else moto(environ, start_response)

    made = Request.from_values(f"/{bucket}", method="PUT", base_url=f"http://127.0.0.1:{port}")
    Response.from_app(moto, made.environ)
    run_simple("127.0.0.1", port, application, threaded=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
