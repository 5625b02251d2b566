using System.Collections;
using System.Management.Automation;
using System.Reflection;
using System.Reflection.Emit;
using System.Text.RegularExpressions;

namespace Amazon.Lambda.PowerShellHost;

/// <summary>What PowerShell failed with, as the exception whose name the caller sees.</summary>
public partial class ExceptionManager
{
    private readonly Dictionary<string, Type> made = [];
    private ModuleBuilder module;

    /// <summary>
    /// Of <c>throw @{'Exception'='Name';'Message'='...'}</c> and <c>throw 'Name'</c> an exception of a type of that name; of
    /// others what is inside.
    /// </summary>
    public Exception DetermineExceptionToThrow(Exception error)
    {
        if (error is not RuntimeException { ErrorRecord: var record } runtime)
            return error;
        var (name, message) = record?.TargetObject switch
        {
            Hashtable fields when fields["Exception"] is string given => (given, fields["Message"] as string ?? given),
            string code when IsErrorCode(code) => (code, code),
            _ => (null, null),
        };
        if (!string.IsNullOrEmpty(name))
            return (Exception)Activator.CreateInstance(GetCustomExceptionType(name), message);
        return runtime.InnerException ?? record?.Exception ?? runtime;
    }

    public Type GetCustomExceptionType(string typeName)
    {
        if (made.TryGetValue(typeName, out var type))
            return type;
        module ??= AssemblyBuilder
            .DefineDynamicAssembly(new(Guid.NewGuid().ToString()), AssemblyBuilderAccess.Run)
            .DefineDynamicModule("Exceptions");
        var builder = module.DefineType(typeName, TypeAttributes.Public | TypeAttributes.Class, typeof(Exception));
        var constructor = builder.DefineConstructor(MethodAttributes.Public, CallingConventions.Standard, [typeof(string)]);
        var body = constructor.GetILGenerator();
        body.Emit(OpCodes.Ldarg_0);
        body.Emit(OpCodes.Ldarg_1);
        body.Emit(OpCodes.Call, typeof(Exception).GetConstructor([typeof(string)]));
        body.Emit(OpCodes.Ret);
        return made[typeName] = builder.CreateType();
    }

    /// <summary>Whether a text can be the name of a type.</summary>
    public static bool IsErrorCode(string value) => TypeName().IsMatch(value);

    [GeneratedRegex(@"^[\p{L}_][\p{L}\p{Mn}\p{Mc}\p{Nd}\p{Pc}.+]*$")]
    private static partial Regex TypeName();
}
