"""The settings of the server."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta

from edge_sam.settings import Settings

Count = Annotated[int, Meta(ge=1)]
Megabytes = Annotated[int, Meta(ge=1, le=1 << 20)]
Seconds = Annotated[float, Meta(gt=0)]


@dataclass(frozen=True, kw_only=True)
class Limits(Settings):
    """What one server takes before it refuses.

    Attributes
    ----------
    max_body_mb : int
        Largest body of a request, in MB.
    max_bodies_mb : int
        Bodies of all requests at work, in MB together.
    max_megapixels : float
        Largest photograph, in million pixels. It is checked before the photograph is decoded.
    max_prompts : int
        Prompts in one request, and objects that one request finds by words.
    max_texts : int
        Texts in one request.
    max_encodes : int
        Uploads that are encoded or wait for it.
    max_clicks : int
        Requests for masks that are answered or wait for it.
    max_searches : int
        Requests of everything mode that are answered or wait for it.
    max_matches : int
        Requests with text that the matcher answers, or that wait for it.
    max_connections : int
        Open connections.
    upload_timeout : float
        Seconds that a client may take to send a body.
    encode_timeout : float
        Seconds for an upload to be encoded, waiting included.
    click_timeout : float
        Seconds for masks, waiting included.
    search_timeout : float
        Seconds for everything mode, waiting included.
    match_timeout : float
        Seconds for the matcher's answer, waiting included.
    stop_timeout : float
        Seconds that requests at work get to finish when the server stops.
    """

    max_body_mb: Megabytes = 32
    max_bodies_mb: Megabytes = 256
    max_megapixels: Annotated[float, Meta(gt=0, le=128)] = 64.0
    max_prompts: Count = 64
    max_texts: Count = 16
    max_encodes: Count = 8
    max_clicks: Count = 64
    max_searches: Count = 2
    max_matches: Count = 8
    max_connections: Count = 256
    upload_timeout: Seconds = 60.0
    encode_timeout: Seconds = 60.0
    click_timeout: Seconds = 30.0
    search_timeout: Seconds = 600.0
    match_timeout: Seconds = 120.0
    stop_timeout: Seconds = 10.0


@dataclass(frozen=True, kw_only=True)
class ServeSettings(Limits):
    """Where the server listens, whom it answers, and what it keeps.

    Attributes
    ----------
    host : str
        Address to listen on. Other machines reach the server only if you change it; then set an API key too.
    port : int
        Port to listen on; 0 takes a free one.
    api_key_file : Path, optional
        File with the key that clients must send. Default: the environment variable EDGE_SAM_API_KEY, else no key.
    allow_host : list of str
        Name under which clients reach this server, besides addresses, localhost and this machine's name. Repeatable.
    allow_origin : list of str
        Web site whose pages may use this server, such as https://labels.example.com. Repeatable.
    log_format : str
        Lines of the log: text, or json.
    cache_mb : int
        Memory for photographs and their embeddings, in MB. The least recently used go first.
    store : Path, optional
        Folder that keeps photographs and embeddings, so that ids outlive a restart. Default: one in the cache.
    no_store : bool
        Keep photographs and embeddings in memory only.
    store_mb : int
        Size of that folder, in MB. The least recently used go first.
    label_studio : str, optional
        Address of the Label Studio whose photographs may be read, such as http://localhost:8080. Its key is in the
        environment variable LABEL_STUDIO_API_KEY. The server asks no other host for anything.
    browser_runtime : Path, optional
        Folder with the files of the npm package onnxruntime-web, for pages that decode in the browser.
    """

    host: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535)] = 8765
    api_key_file: Path | None = None
    allow_host: list[str] = field(default_factory=list, hash=False)
    allow_origin: list[str] = field(default_factory=list, hash=False)
    log_format: Literal["text", "json"] = "text"
    cache_mb: Megabytes = 512
    store: Path | None = None
    no_store: bool = False
    store_mb: Megabytes = 1024
    label_studio: str | None = None
    browser_runtime: Path | None = None
