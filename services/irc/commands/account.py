"""Accounts: AUTHENTICATE (SASL) and REGISTER."""

from __future__ import annotations

import base64
import logging
from typing import TYPE_CHECKING

from .. import accounts
from .. import numerics as n
from ..accounts import Account
from ..names import fold, printable, valid_nick
from ..sasl import CHUNK, MECHANISMS, TOTAL_LIMIT, Refused, ScramExchange, decode, parse_plain

if TYPE_CHECKING:
    from ..accounts import Hashed, Scram
    from ..client import Client
    from ..message import Message
    from ..network import Network

log = logging.getLogger("midair.irc")

PASSWORD_LEAST = 5  # characters


# --- SASL


def cmd_authenticate(net: Network, client: Client, message: Message) -> None:
    word = message.params[0]
    # Clients from before the capability was asked for send this without; nothing is lost by answering.
    if word == "*":
        _reset(client)
        client.reply(n.ERR_SASLABORTED)
    elif client.sasl is None:
        _begin(net, client, word.upper())
    elif len(word) > CHUNK or len(client.sasl_buffer) + len(word) > TOTAL_LIMIT:
        _reset(client)
        client.reply(n.ERR_SASLTOOLONG)
    else:
        client.sasl_buffer += "" if word == "+" else word
        if len(word) < CHUNK:
            payload, client.sasl_buffer = client.sasl_buffer, ""
            _step(net, client, payload)


def _reset(client: Client) -> None:
    client.sasl, client.sasl_buffer = None, ""


def _begin(net: Network, client: Client, mechanism: str) -> None:
    if mechanism not in MECHANISMS:
        client.reply(n.RPL_SASLMECHS, ",".join(MECHANISMS))
        client.reply(n.ERR_SASLFAIL)
    elif net.throttled(client):
        client.reply(n.ERR_SASLFAIL, text="Too many failed attempts from your address; try again later")
    else:
        client.sasl = ScramExchange(net.accounts, net.cloak_key) if mechanism == "SCRAM-SHA-256" else mechanism
        client.send("", "AUTHENTICATE", "+")


def _step(net: Network, client: Client, payload: str) -> None:
    exchange = client.sasl
    try:
        data = decode(payload)
        if isinstance(exchange, ScramExchange):
            _step_scram(net, client, exchange, data)
        elif exchange == "PLAIN":
            name, password = parse_plain(data)
            account = net.accounts.get(name)
            client.sasl = None
            net.offload(client, accounts.verify, (account.password if account else None, password), "then_plain", name)
        else:
            _external(net, client, data)
    except Refused as why:
        _fail(net, client, str(why))


def _step_scram(net: Network, client: Client, exchange: ScramExchange, data: bytes) -> None:
    if not exchange.started:
        answer = exchange.first(data)
    elif not exchange.proved:
        answer = exchange.final(data)
    else:
        _succeed(net, client, exchange.account)
        return
    client.send("", "AUTHENTICATE", base64.b64encode(answer).decode())


def _external(net: Network, client: Client, data: bytes) -> None:
    account = net.accounts.by_certificate(client.certfp) if client.certfp else None
    if account is None:
        raise Refused("no account has registered this certificate")
    if data and fold(data.decode(errors="replace")) != fold(account.name):
        raise Refused("the certificate is another account's")
    _succeed(net, client, account.name)


def then_plain(net: Network, client: Client, right: bool, name: str) -> None:
    account = net.accounts.get(name)
    if right and account:
        _succeed(net, client, account.name)
    else:
        _fail(net, client, "wrong password, or no such account")


def _succeed(net: Network, client: Client, name: str) -> None:
    _reset(client)
    net.set_account(client, name)
    client.reply(n.RPL_SASLSUCCESS)


def _fail(net: Network, client: Client, why: str) -> None:
    _reset(client)
    log.info("SASL from %s failed: %s", client.address, printable(why))
    net.failed(client)
    client.reply(n.ERR_SASLFAIL)


# --- REGISTER (draft/account-registration)


def cmd_register(net: Network, client: Client, message: Message) -> None:
    name, password = message.params[0], message.params[2]
    name = client.nick if name == "*" else name
    if refusal := refuse_registration(net, client, name, password):
        code, text = refusal
        client.fail("REGISTER", code, name or "*", text=text)
    else:
        net.offload(client, accounts.make_both, (password,), "then_register", name)


def refuse_registration(net: Network, client: Client, name: str, password: str) -> tuple[str, str] | None:
    """Return why an account cannot be made: a code and a sentence; None when it can."""
    holder = net.find(name)
    if client.account:
        return "ALREADY_AUTHENTICATED", f"You are logged in as {client.account}"
    if not name:
        return "NEED_NICK", "Choose a nickname first"
    if not valid_nick(name):
        return "BAD_ACCOUNT_NAME", "An account is called like a nickname"
    if fold(name) != client.folded:
        return "ACCOUNT_NAME_MUST_BE_NICK", "Your account is called as you are: take that nickname first"
    if name in net.accounts or (holder is not None and holder is not client):
        return "ACCOUNT_EXISTS", "That name is taken"
    if not len(password) >= PASSWORD_LEAST or len(password.encode()) > accounts.PASSWORD_LIMIT:
        limits = f"{PASSWORD_LEAST} characters to {accounts.PASSWORD_LIMIT} bytes"
        return "WEAK_PASSWORD", f"A password has {limits}"
    if net.made.full(client.address, net.now()) and not net.exempt(client.address):
        return "TEMPORARILY_UNAVAILABLE", "Too many accounts were made from your address; try again later"
    return None


def make_account(net: Network, name: str, keys: tuple[Hashed, Scram], address: str = "") -> Account:
    account = Account(name, *keys, created=net.now())
    net.accounts.add(account)
    net.made.add(address, net.now())
    log.info("account %s made", name)
    return account


def then_register(net: Network, client: Client, keys: tuple[Hashed, Scram], name: str) -> None:
    if name in net.accounts:
        client.fail("REGISTER", "ACCOUNT_EXISTS", name, text="That name is taken")
        return
    make_account(net, name, keys, client.address)
    client.send(net.name, "REGISTER", "SUCCESS", name, text="Account created; you are logged in")
    net.set_account(client, name)


def cmd_verify(net: Network, client: Client, message: Message) -> None:
    client.fail("VERIFY", "INVALID_CODE", message.get(0) or "*", text="Accounts here need no verification")


def then_service(net: Network, client: Client, result: object, nick: str, method: str, *context: object) -> None:
    """Give the result of slow work to the method of a bot that asked for it."""
    bot = net.bots.get(fold(nick))
    if bot is not None:
        getattr(bot, method)(client, result, *context)
