/** Options of a fork. */
export interface ForkOptions {
  /**
   * The program k3s-vm. By default the one in the variable `K3S_VM`, else `bin/k3s-vm` in the working directory or a
   * directory above it, else `k3s-vm` in the `PATH`.
   */
  program?: string | URL;
  /** The project's directory, which has `.k3s-vm/`; by default the working directory or the nearest one above it. */
  project?: string;
  /** The snapshot from which the fork is made (`k3s-vm snapshot save NAME`). */
  fromSnapshot?: string;
  /** Milliseconds until the fork must be ready; 15 minutes by default. */
  timeout?: number;
  /** Milliseconds that the program may take to destroy the fork before it is killed; a minute by default. */
  closeTimeout?: number;
}

/** A fork that is ready. It is destroyed by `close`, or when the process ends. */
export declare class Cluster {
  private constructor();
  /** The instance's name, for `k3s-vm --name NAME kubectl`. */
  readonly name: string;
  /** The path of the kubeconfig, for the variable `KUBECONFIG`. */
  readonly kubeconfig: string;
  /** The URL of the application. */
  readonly webUrl: string;
  /** The URL of the Kubernetes API. */
  readonly apiUrl: string;
  readonly webPort: number;
  readonly apiPort: number;
  readonly sshPort: number;
  /** The variables for programs that use the cluster: `KUBECONFIG`, `WEB_URL` and others. */
  readonly environment: Readonly<Record<string, string>>;
  /** The report of the start, as of `k3s-vm start -o json`. */
  readonly report: Readonly<Record<string, unknown>>;
  /** Destroys the fork; rejects with a ForkError when that fails. Every further call returns the same promise. */
  close(): Promise<void>;
  /** For `await using`, where Node supports it. */
  [Symbol.asyncDispose](): Promise<void>;
}

/** A fork could not be made or destroyed: what happened, the program's output, and the next command. */
export declare class ForkError extends Error {
  /** The program's exit code, if it ended by itself: 6 is a taken port, 69 a missing requirement of the host. */
  readonly exitCode?: number;
  /** The last lines of the program's stderr. */
  readonly said: string;
}

/**
 * Makes a fork and waits until its cluster and application are ready; rejects with a ForkError, and then leaves
 * nothing behind.
 */
export declare function fork(options?: ForkOptions): Promise<Cluster>;
