"""A folder uploaded to the Hugging Face Hub, where the user has a token."""

from pathlib import Path

NO_TOKEN = "no Hugging Face token: log in with `hf auth login`, or set HF_TOKEN"
OURS = ["models/*", "onnx/*"]  # what an export of other models would leave behind


class HubError(RuntimeError):
    """What keeps a folder from the Hub. The message says what to do."""


def ready(repo: str, *, replace: bool = False) -> None:
    """Raises HubError where `repo` is no OWNER/NAME, there is no token, the Hub does not take it, or, unless `replace`, the
    repository holds files."""
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
        held = [] if replace else _held(repo)
    except Exception as error:  # requests' or httpx's, by the version of huggingface_hub
        raise HubError(_said("the Hugging Face Hub cannot be used", error)) from error
    _refuse(held)


def push(folder: Path, repo: str, *, replace: bool = False) -> str:
    """Upload all of `folder` to the model repository OWNER/NAME, made private where it is new; returns its address.

    One that holds files is refused unless `replace`: then its models/ and onnx/ are emptied in the same commit, files of the
    same names replaced, and others stay. Raises HubError.
    """
    from huggingface_hub import HfApi

    try:
        address = HfApi().create_repo(repo, private=True, exist_ok=True)
        held = [] if replace else _held(repo)
        if not held:
            HfApi().upload_folder(repo_id=repo, folder_path=folder, commit_message="lesionkit export",
                                  delete_patterns=OURS if replace else None)  # fmt: skip
    except Exception as error:  # as above
        raise HubError(f"{_said('the upload failed', error)}\nThe export is whole; upload it later: hf upload {repo} {folder}") from error
    _refuse(held)
    return str(address)


def _held(repo: str) -> list[str]:
    """The files of a repository; none where there is no such repository."""
    from huggingface_hub import HfApi
    from huggingface_hub.utils import RepositoryNotFoundError

    try:
        return [name for name in HfApi().list_repo_files(repo) if name != ".gitattributes"]  # the Hub's own
    except RepositoryNotFoundError:
        return []


def _refuse(held: list[str]) -> None:
    if held:
        raise HubError(f"the repository holds files, such as {held[0]}: give the name of a new one, or --replace to put this export "
                       "in the place of what is there")  # fmt: skip


def _said(what: str, error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{what} ({type(error).__name__}: {lines[0] if lines else 'no reason given'})"
