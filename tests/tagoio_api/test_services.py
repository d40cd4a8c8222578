"""Messages that analyses have sent."""

import pytest
from django.core import mail
from django.core.mail import EmailMessage
from pytest_django import Settings

from backups_portal.lib.mail_backend import NOT_ACCEPTED
from tests.tagoio_api.conftest import Api

EMAIL = {"to": "kari@example.com", "subject": "Cold store", "message": "It is warm."}
SEND = "/analysis/services/email/send"


@pytest.fixture
def script(api: Api) -> Api:
    made = api.post("/analysis", {"name": "Report", "run_on": "external"})
    return Api(made["token"], api.client)


@pytest.fixture
def _mail_server(settings: Settings) -> None:
    settings.EMAIL_HOST = "mail.example.com"
    settings.DEFAULT_FROM_EMAIL = "portal@example.com"


@pytest.mark.usefixtures("_mail_server")
class TestWithAMailServer:
    def test_an_email_is_sent_from_the_portals_address(self, script: Api) -> None:
        assert script.post(SEND, {**EMAIL, "from": "ceo@bank.example", "html": "<b>Warm</b>"})
        (message,) = mail.outbox
        assert (message.from_email, message.to) == ("portal@example.com", ["kari@example.com"])
        assert (message.subject, message.body) == ("Cold store", "It is warm.")
        assert message.alternatives == [("<b>Warm</b>", "text/html")]

    def test_each_recipient_gets_one_of_their_own(self, script: Api) -> None:
        script.post(SEND, {**EMAIL, "to": "a@example.com, b@example.com,a@example.com"})
        script.post(SEND, {**EMAIL, "to": ["c@example.com"]})
        assert [one.to for one in mail.outbox] == [
            ["a@example.com"],
            ["b@example.com"],
            ["c@example.com"],
        ]

    def test_one_that_the_mail_server_refuses_is_logged(
        self, script: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        def away(_: EmailMessage) -> int:
            raise ConnectionRefusedError

        monkeypatch.setattr(EmailMessage, "send", away)
        status, answer = script.call("POST", SEND, EMAIL)
        assert (status, "did not take" in str(answer)) == (400, True)
        assert NOT_ACCEPTED in caplog.text

    @pytest.mark.parametrize(
        "end", ["\nBcc: x@example.com", "\r\n\r\nbody", "\rX: y", "\u2028Z: z"]
    )
    def test_nothing_adds_a_header(self, script: Api, end: str) -> None:
        script.post(SEND, {**EMAIL, "subject": f"Cold{end}"})
        (message,) = mail.outbox
        assert message.message()["Bcc"] is None
        assert len(message.message().as_string().split("\nSubject:")) == 2
        mail.outbox.clear()
        for body in ({**EMAIL, "to": f"kari@example.com{end}"}, {**EMAIL, "to": [f"k{end}@e.com"]}):
            assert script.call("POST", SEND, body)[0] == 400
        assert mail.outbox == []

    @pytest.mark.parametrize(
        ("change", "sentence"),
        [
            ({"to": "nobody"}, "nobody is not an e-mail address"),
            ({"to": ""}, "An e-mail goes to 1 to 10 addresses"),
            ({"to": [f"a{n}@example.com" for n in range(11)]}, "An e-mail goes to 1 to 10"),
            ({"message": ""}, "An e-mail needs a message or html"),
            ({"attachment": {"archive": "a", "filename": "b"}}, "E-mail is sent without attach"),
            ({"message": "x" * 200_001}, "message"),
            ({"subject": "x" * 201}, "subject"),
        ],
    )
    def test_what_is_wrong_is_said(
        self, script: Api, change: dict[str, object], sentence: str
    ) -> None:
        status, message = script.call("POST", SEND, {**EMAIL, **change})
        assert (status, mail.outbox) == (400, [])
        assert sentence.lower() in message.lower()

    def test_a_project_sends_so_many_a_day(self, script: Api, api: Api, settings: Settings) -> None:
        settings.API_EMAILS_PER_DAY = 3
        script.post(SEND, {**EMAIL, "to": ["a@example.com", "b@example.com"]})
        other = api.post("/analysis", {"name": "Other", "run_on": "external"})
        assert Api(other["token"], api.client).post(SEND, EMAIL) == "Email Sent"
        status, message = script.call("POST", SEND, EMAIL)
        assert (status, len(mail.outbox)) == (400, 3)
        assert message == "The project has sent its 3 e-mails of the last 24 hours"

    def test_only_analyses_send(self, api: Api) -> None:
        assert api.call("POST", SEND, EMAIL)[0] == 401


def test_without_a_mail_server_it_says_so(script: Api) -> None:
    status, message = script.call("POST", SEND, EMAIL)
    assert (status, mail.outbox) == (400, [])
    assert message.startswith("E-mail is not sent from here")


@pytest.mark.parametrize(
    "path", ["sms/send", "notification/send", "mqtt/publish", "attachment/upload", "fax/send"]
)
def test_what_is_not_offered_is_refused_in_a_sentence(script: Api, path: str) -> None:
    status, message = script.call("POST", f"/analysis/services/{path}", {})
    assert status == 400
    assert "here" in message
