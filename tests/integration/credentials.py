"""Tokens and certificates for tests, in a folder."""

import base64
import hashlib
import os
import pathlib
import secrets
import shutil
import ssl
import subprocess


def new_token():
    """A token as `anomalyctl token` makes it, and its hash as the token file has it."""
    token = "anomalyd_" + secrets.token_urlsafe(32)
    return token, "sha256:" + hashlib.sha256(token.encode()).hexdigest()


def basic(user, password):
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


class Tokens:
    """A token file; `secret[name]` is what its owner has."""

    def __init__(self, folder, **scopes):
        self.path = pathlib.Path(folder) / "tokens"
        self.secret = {}
        self.lines = {}
        for name, words in scopes.items():
            self.secret[name], digest = new_token()
            scope, *options = words.split()
            self.lines[name] = " ".join([name, scope, digest, *options])
        self.write()

    def write(self, without=(), more=""):
        text = "".join(line + "\n" for name, line in self.lines.items() if name not in without)
        self.path.write_text("# tokens of a test\n" + text + more)

    def config(self):
        return f'tokens = "{self.path}"\n'


def has_openssl():
    return shutil.which("openssl") is not None


def _openssl(*arguments):
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True, timeout=60,
                   env={**os.environ, "OPENSSL_CONF": "/dev/null"})


class Authority:
    """Vouches for servers and clients on this machine."""

    def __init__(self, folder, name="authority"):
        self.folder = pathlib.Path(folder)
        self.name = name
        self.certificate = self.folder / f"{name}.crt"
        self._key = self.folder / f"{name}.key"
        _openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                 "-keyout", self._key, "-out", self.certificate, "-days", 2,
                 "-subj", f"/CN={name}", "-addext", "basicConstraints=critical,CA:TRUE")

    def issue(self, name, days=2):
        """(certificate, key) for 127.0.0.1, from now on or, for days below 0, over since then."""
        certificate, key = (self.folder / f"{name}.{end}" for end in ("crt", "key"))
        request, extensions = (self.folder / f"{name}.{end}" for end in ("csr", "ext"))
        _openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                 "-keyout", key, "-out", request, "-subj", f"/CN={name}")
        extensions.write_text("subjectAltName=IP:127.0.0.1\n")
        _openssl("x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self._key,
                 "-CAcreateserial", "-days", days, "-extfile", extensions, "-out", certificate)
        return certificate, key

    def context(self, client=None):
        """What a client trusts, and shows when `client` is (certificate, key)."""
        context = ssl.create_default_context(cafile=str(self.certificate))
        if client:
            context.load_cert_chain(*map(str, client))
        return context
