// What the page asks the service for. Each answer that is none is an Error with `status`.

let token = "";

export function useToken(text) {
  token = text;
}

function headers() {
  return token ? { Authorization: `Bearer ${token}` } : {};
}

function problem(status, text) {
  const error = new Error(text);
  error.status = status;
  return error;
}

async function said(response) {
  try {
    return (await response.json()).detail;
  } catch {
    return `the service answered with status ${response.status}`;
  }
}

async function ask(path, options = {}) {
  let response;
  try {
    response = await fetch(path, { ...options, headers: headers() });
  } catch {
    throw problem(0, "the service cannot be reached");
  }
  if (!response.ok) throw problem(response.status, await said(response));
  return response;
}

const jobPath = (job) => `v1/jobs/${encodeURIComponent(job)}`;

export const about = async () => (await ask("v1/service")).json();
export const state = async (job) => (await ask(jobPath(job))).json();
export const report = async (job) => (await ask(`${jobPath(job)}/report`)).blob();
export const remove = (job) => ask(jobPath(job), { method: "DELETE", keepalive: true });

export async function frame(job, number, overlay) {
  return (await ask(`${jobPath(job)}/files/0/frames/${number}?overlay=${overlay}`)).blob();
}

// Sends a file: fetch() would not say how far it is. `signal` ends it.
export function send(file, { progress, signal }) {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(problem(0, "removed"));
    const request = new XMLHttpRequest();
    request.open("POST", "v1/predict");
    for (const [name, value] of Object.entries(headers())) request.setRequestHeader(name, value);
    request.responseType = "json";
    request.upload.onprogress = (event) => progress(event.loaded / (event.total || 1));
    request.onload = () => {
      if (request.status === 202) return resolve(request.response.job);
      const error = problem(request.status, request.response?.detail ?? `status ${request.status}`);
      error.after = Number(request.getResponseHeader("Retry-After")) || 5;
      reject(error);
    };
    request.onerror = () => reject(problem(0, "the upload broke off: the service cannot be reached, or took no more"));
    request.onabort = () => reject(problem(0, "removed"));
    signal.addEventListener("abort", () => request.abort());
    const form = new FormData();
    form.append("file", file);
    request.send(form);
  });
}
