/** How a fork is to be made. */
export interface ForkOptions {
  /**
   * The program k3s-vm. By default that of the variable `K3S_VM`, else `bin/k3s-vm` of the working directory or a directory
   * above it, else `k3s-vm` of the `PATH`.
   */
  program?: string | URL;
  /** The project's directory, which holds `.k3s-vm/`; by default looked for from the working directory upwards. */
  project?: string;
  /** The snapshot that the fork begins as, made with `k3s-vm snapshot save NAME`. */
  fromSnapshot?: string;
  /** Milliseconds until the fork must be ready; 15 minutes by default. */
  timeout?: number;
  /** Milliseconds that the program may take to destroy the fork before it is made to end; a minute by default. */
  closeTimeout?: number;
}

/** A fork that is ready. Closed, or with the process, it is gone. */
export declare class Cluster {
  private constructor();
  /** What `k3s-vm --name NAME kubectl` wants. */
  readonly name: string;
  /** The file that kubectl and others want as `KUBECONFIG`. */
  readonly kubeconfig: string;
  /** Where the application answers. */
  readonly webUrl: string;
  /** Where the API answers. */
  readonly apiUrl: string;
  readonly webPort: number;
  readonly apiPort: number;
  readonly sshPort: number;
  /** The variables for programs that use the cluster: `KUBECONFIG`, `WEB_URL` and others. */
  readonly environment: Readonly<Record<string, string>>;
  /** All that the program reports of its start, as `k3s-vm start -o json` has it. */
  readonly report: Readonly<Record<string, unknown>>;
  /** Ends it; rejects with a ForkError when that fails. Every call after the first gives the same promise. */
  close(): Promise<void>;
  /** For `await using`, in versions of Node that have the symbol. */
  [Symbol.asyncDispose](): Promise<void>;
}

/** There is no fork, or it did not go: what happened, what the program said, and what to type next. */
export declare class ForkError extends Error {
  /** The program's exit code, if it ended by itself: 6 is a taken port, 69 something that the host lacks. */
  readonly exitCode?: number;
  /** The end of what the program said on stderr. */
  readonly said: string;
}

/**
 * Makes a fork and waits until its cluster and application are ready; rejects with a ForkError, and leaves nothing
 * behind then.
 */
export declare function fork(options?: ForkOptions): Promise<Cluster>;
