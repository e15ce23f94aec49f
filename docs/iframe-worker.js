// Search without a server: a browser starts no worker from a page on disk, so its script runs in a hidden frame instead.
class FrameWorker extends EventTarget {
  constructor(url) {
    super();
    this.onmessage = null;
    const frame = document.createElement("iframe");
    frame.hidden = true;
    document.body.append(frame);
    this.frame = frame;
    this.inside = frame.contentWindow;
    this.listen = (event) => {
      if (event.source !== this.inside) return;
      const passed = new MessageEvent("message", { data: event.data });
      this.dispatchEvent(passed);
      if (this.onmessage) this.onmessage(passed);
    };
    window.addEventListener("message", this.listen);
    const inner = frame.contentDocument;
    const load = (address) => new Promise((resolve, reject) => {
      const script = inner.createElement("script");
      Object.assign(script, { src: address, onload: resolve, onerror: reject });
      inner.body.append(script);
    });
    this.inside.postMessage = (data) => window.dispatchEvent(new MessageEvent("message", { data, source: this.inside }));
    this.inside.importScripts = (...urls) => urls.reduce((before, next) => before.then(() => load(next)), Promise.resolve());
    this.ready = load(String(url));
  }

  postMessage(data) {
    this.ready.then(() => this.inside.dispatchEvent(new this.inside.MessageEvent("message", { data })));
  }

  terminate() {
    window.removeEventListener("message", this.listen);
    this.frame.remove();
  }
}
if (location.protocol === "file:") window.Worker = FrameWorker;
