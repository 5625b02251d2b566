namespace Amazon.Lambda.PowerShellHost;

public class LambdaPowerShellException(string message, Exception inner = null) : Exception(message, inner);
