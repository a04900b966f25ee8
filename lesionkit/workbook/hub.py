"""A folder uploaded to the Hugging Face Hub, where the user has a token."""

from pathlib import Path

NO_TOKEN = "no Hugging Face token: log in with `hf auth login`, or set HF_TOKEN"


class HubError(RuntimeError):
    """What keeps a folder from the Hub. The message says what to do."""


def ready(repo: str) -> None:
    """Raises HubError where `repo` is no OWNER/NAME, there is no token, or the Hub does not take it."""
    from huggingface_hub import HfApi, get_token
    from huggingface_hub.utils import HFValidationError, validate_repo_id

    try:
        validate_repo_id(repo)
    except HFValidationError as error:
        raise HubError(f"{repo!r} is no name on the Hub: {error}") from error
    if repo.count("/") != 1:
        raise HubError(f"{repo!r} is no name on the Hub: write OWNER/NAME")
    if get_token() is None:
        raise HubError(NO_TOKEN)
    try:
        HfApi().whoami()
    except Exception as error:  # requests' or httpx's, by the version of huggingface_hub
        raise HubError(_said("the Hugging Face Hub cannot be used", error)) from error


def push(folder: Path, repo: str) -> str:
    """Upload all of `folder` to the model repository OWNER/NAME, made private where it is new; returns its address.

    Files of the same names are replaced, others stay. Raises HubError.
    """
    from huggingface_hub import HfApi

    try:
        address = HfApi().create_repo(repo, private=True, exist_ok=True)
        HfApi().upload_folder(repo_id=repo, folder_path=folder, commit_message="lesionkit export")
    except Exception as error:  # as above
        raise HubError(f"{_said('the upload failed', error)}\nThe export is whole; upload it later: hf upload {repo} {folder}") from error
    return str(address)


def _said(what: str, error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{what} ({type(error).__name__}: {lines[0] if lines else 'no reason given'})"
